-- Times are microseconds since the epoch. Ids sort by their bytes, whatever the language of the database. Digests are
-- 16 bytes, and so stored as uuid. Packed columns are JSON.
--
-- An order is two rows, and neither changes on a plain order's way to its outcome. `orders` never changes.
-- `order_states` begins with the first answer or change; until then an order is `received`, at revision 1.
-- No foreign keys inside an order: one transaction writes its rows, and the audit compares them.

CREATE TYPE order_status AS ENUM
    ('confirmed', 'rejected', 'cancelling', 'cancelled', 'fulfilling', 'fulfilled', 'reserved', 'amending', 'expiring',
     'expired', 'reviving', 'received');

-- Read by id: one order, and newest first.
CREATE TABLE orders (
    order_id    uuid   NOT NULL PRIMARY KEY,
    customer_id text   NOT NULL COLLATE "C",
    currency    text   NOT NULL,
    total_minor bigint NOT NULL CHECK (total_minor BETWEEN 0 AND 9007199254740991),
    -- Of the first intent (R14).
    digest      uuid   NOT NULL,
    -- [["789",2,1999],["456",1,2999]]: product, quantity and price in minor units, as the client sent them.
    lines       json   NOT NULL CHECK (json_array_length(lines) BETWEEN 1 AND 100),
    -- {"payment":{"within_s":900}}: how long the units are reserved until the order is paid; NULL without options.
    options     json   CHECK (json_typeof(options) = 'object'),
    -- Who placed the order; NULL if clients are not asked who they are.
    actor       text,
    created_at  bigint NOT NULL
);

-- Serves the list of a customer, newest first: two look-ups per order.
CREATE INDEX orders_by_customer ON orders (customer_id, order_id);

-- INV-6: the first order with a key has it for ever. A table of its own, because a key is claimed before anything is
-- decided. Serves a repeated placement: one look-up.
CREATE TABLE idempotency_keys (
    -- Behind the client that it belongs to, if clients are asked who they are.
    key      text NOT NULL COLLATE "C" PRIMARY KEY,
    order_id uuid NOT NULL
);

-- INV-4: the history is the only copy of the registers; the other columns follow from it, for queries and for the
-- compare-and-set on `last_seq` (R13).
CREATE TABLE order_states (
    order_id   uuid         NOT NULL PRIMARY KEY,
    status     order_status NOT NULL,
    revision   bigint       NOT NULL,
    -- The revision that Inventory answered last; 0 before its first answer.
    settled    bigint       NOT NULL,
    last_seq   bigint       NOT NULL CHECK (last_seq >= 2),
    -- Of the intent, if it is newer than the first.
    digest     uuid,
    updated_at bigint       NOT NULL,
    -- INV-9: what must be given back, in minor units; NULL if nothing.
    refund_due_minor bigint CHECK (refund_due_minor > 0),
    -- Entries from the second on, oldest first. The first entry is the row in `orders`.
    history    json         NOT NULL CHECK (json_array_length(history) = last_seq - 1),
    CHECK (0 <= settled AND settled <= revision AND (digest IS NULL) = (revision = 1))
) WITH (fillfactor = 85);

-- Serves the list of a status, newest first: two look-ups per order.
CREATE INDEX orders_by_status ON order_states (status, order_id);

-- Serves the list of orders whose money is to be given back, newest first: two look-ups per order.
CREATE INDEX orders_by_refund_due ON order_states (order_id) WHERE refund_due_minor > 0;

-- INV-7: a row exists exactly while the intent is ahead of the facts. Outbox and timer in one. Serves the list of
-- `received` orders as well: those at revision 1.
CREATE TABLE pending_commands (
    order_id        uuid   NOT NULL PRIMARY KEY,
    revision        bigint NOT NULL CHECK (revision >= 1),
    attempt         bigint NOT NULL CHECK (attempt >= 1),
    since           bigint NOT NULL,
    sent_at         bigint NOT NULL,
    -- 0 if an operator made it due.
    next_attempt_at bigint NOT NULL,
    traceparent     text
);

-- Serves the sweeper's leases: as many rows as it takes.
CREATE INDEX pending_commands_by_next_attempt ON pending_commands (next_attempt_at);

-- INV-7, R25: a row exists exactly while the order is `reserved`.
CREATE TABLE payment_deadlines (
    order_id        uuid   NOT NULL PRIMARY KEY,
    -- When the units were reserved; or when the deadline was armed again, since the clock was set back.
    armed_at        bigint NOT NULL,
    -- When the units are released.
    pay_by          bigint NOT NULL,
    -- When that is asked for: at `pay_by`, and after every lease again.
    next_attempt_at bigint NOT NULL
);

-- Serves the leases of what is due: as many rows as they take.
CREATE INDEX payment_deadlines_by_next_attempt ON payment_deadlines (next_attempt_at);

-- Serves the look for leases of a clock that was ahead: one look-up if there are none.
CREATE INDEX payment_deadlines_leased ON payment_deadlines (next_attempt_at) WHERE next_attempt_at > pay_by;

-- Serves the count of what has passed.
CREATE INDEX payment_deadlines_by_pay_by ON payment_deadlines (pay_by);

-- Serves the look for deadlines that were armed before the clock was set back: one look-up if there are none.
CREATE INDEX payment_deadlines_by_armed_at ON payment_deadlines (armed_at);

-- R29, INV-13: a row per transaction that made entries of histories, numbered after its commit by the replica that has
-- the head. Readers follow `no`, which has no gaps. `id` is drawn when all locks of the batch are held, so what is
-- committed later about the same order has a greater one.
CREATE TABLE journal (
    -- The key also names a row in a publication of all tables: without one the database refuses to number rows there.
    id      bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    no      bigint CHECK (no >= 1),
    -- Packed: order id (16 bytes), seq (4, big-endian), code of what the entry is (1).
    entries bytea  NOT NULL CHECK (length(entries) > 0 AND length(entries) % 21 = 0)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Random bytes do not become shorter.
ALTER TABLE journal ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Serves the feed: as many rows as it reads.
CREATE UNIQUE INDEX journal_by_number ON journal (no) WHERE no IS NOT NULL;

-- Serves the replica that gives numbers. It has what waits, and dead entries of what has a number now, until a vacuum
-- removes them: not before the last snapshot from before is closed. A replica looks above those that it knows.
CREATE INDEX journal_without_number ON journal (id) WHERE no IS NULL;

-- The last number that was given. One row: whoever holds its lock gives numbers.
CREATE TABLE journal_head (
    one  boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    last bigint  NOT NULL CHECK (last >= 0)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO journal_head (last) VALUES (0);

-- R31: which database this is, and which one is that of the Inventory Service. One row.
CREATE TABLE deployment (
    one  boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    id   uuid    NOT NULL DEFAULT gen_random_uuid(),
    peer uuid
);

-- R31: where the database was when it was used on each channel of a broker. A copy is elsewhere.
CREATE TABLE deployment_channels (
    channel  text NOT NULL PRIMARY KEY,
    location text NOT NULL
);

INSERT INTO deployment DEFAULT VALUES;

CREATE TABLE quarantine (
    key      bytea  NOT NULL PRIMARY KEY,
    subject  text,
    kind     text   NOT NULL,
    reason   text   NOT NULL,
    bytes    bytea  NOT NULL,
    length   bigint NOT NULL,
    count    bigint NOT NULL CHECK (count >= 1),
    first_at bigint NOT NULL,
    last_at  bigint NOT NULL,
    -- By an operator, who has seen it; NULL again as soon as it is repeated.
    discarded_at bigint,
    discarded_by text
);

-- API keys, never a key itself but the hash of its secret. By id: a change of one key, and the notes of last uses. The
-- service reads all of them when their version has changed, and writes when they were last used, and nothing else.
CREATE TABLE api_keys (
    id                  text   NOT NULL COLLATE "C" PRIMARY KEY,
    name                text   NOT NULL,
    -- Separated by spaces.
    scopes              text   NOT NULL,
    mode                text   NOT NULL CHECK (mode IN ('live', 'test')),
    customer_id         text,
    rate                bigint,
    burst               bigint,
    sha256              bytea  NOT NULL CHECK (length(sha256) = 32),
    created_at          bigint NOT NULL,
    created_by          text   NOT NULL,
    not_after           bigint NOT NULL,
    -- The secret before the last rotation.
    previous_sha256     bytea  CHECK (length(previous_sha256) = 32),
    previous_replaced_at bigint,
    previous_not_after  bigint,
    revoked_at          bigint,
    -- When a client last used the key, its secret, and the secret before the last rotation.
    last_used_at          bigint,
    secret_last_used_at   bigint,
    previous_last_used_at bigint,
    CHECK ((previous_sha256 IS NULL) = (previous_replaced_at IS NULL)),
    CHECK ((previous_sha256 IS NULL) = (previous_not_after IS NULL))
);

-- Counts the changes of api_keys. One row, which replicas read every two seconds.
CREATE TABLE api_keys_version (
    one     boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    version bigint  NOT NULL
);

INSERT INTO api_keys_version (version) VALUES (0);

-- The admin log: who made and revoked which key, sent which command again, and discarded which entry of the
-- quarantine; which administrative requests were refused. Append-only. By number: newest first.
CREATE TABLE admin_log (
    entry_no   bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         bigint NOT NULL,
    actor      text,
    action     text   NOT NULL,
    -- The id of a key, an order or an entry of the quarantine, a request, or an address.
    subject    text   NOT NULL,
    before     json,
    after      json   NOT NULL,
    request_id text,
    address    text
);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% of % is forbidden', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER orders_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON orders EXECUTE FUNCTION refuse();
CREATE TRIGGER keys_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON idempotency_keys EXECUTE FUNCTION refuse();
CREATE TRIGGER states_stay BEFORE DELETE OR TRUNCATE ON order_states EXECUTE FUNCTION refuse();

CREATE TRIGGER the_admin_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_log EXECUTE FUNCTION refuse();

-- A row of the journal changes once, when it gets its number.
CREATE TRIGGER the_journal_is_append_only BEFORE DELETE OR TRUNCATE ON journal EXECUTE FUNCTION refuse();
CREATE TRIGGER a_number_is_given_once BEFORE UPDATE ON journal FOR EACH ROW
WHEN (OLD.no IS NOT NULL OR NEW.no IS NULL OR NEW.id <> OLD.id OR NEW.entries <> OLD.entries) EXECUTE FUNCTION refuse();
CREATE TRIGGER the_head_stays BEFORE DELETE OR TRUNCATE ON journal_head EXECUTE FUNCTION refuse();
CREATE TRIGGER the_head_does_not_fall BEFORE UPDATE ON journal_head FOR EACH ROW
WHEN (NEW.last < OLD.last) EXECUTE FUNCTION refuse();

-- Histories name keys by their ids, so a key is revoked and never deleted. Every change counts except a note of a use.
CREATE TRIGGER keys_stay BEFORE DELETE OR TRUNCATE ON api_keys EXECUTE FUNCTION refuse();
CREATE TRIGGER the_version_stays BEFORE DELETE OR TRUNCATE ON api_keys_version EXECUTE FUNCTION refuse();

-- A key that was revoked stays so.
CREATE TRIGGER a_revocation_stays BEFORE UPDATE ON api_keys FOR EACH ROW
WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) EXECUTE FUNCTION refuse();

CREATE FUNCTION count_key_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE api_keys_version SET version = version + 1; RETURN NULL; END $$;

CREATE TRIGGER a_change_of_keys_counts AFTER INSERT OR UPDATE OF
    id, name, scopes, mode, customer_id, rate, burst, sha256, created_at, created_by, not_after, previous_sha256,
    previous_replaced_at, previous_not_after, revoked_at ON api_keys EXECUTE FUNCTION count_key_change();

-- The new text begins with the old one, without the bracket that closes it.
CREATE FUNCTION refuse_to_shrink() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a history only grows, and a revision never falls' USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER a_history_only_grows BEFORE UPDATE ON order_states FOR EACH ROW
WHEN (NEW.order_id <> OLD.order_id OR NEW.revision < OLD.revision OR NEW.settled < OLD.settled
      OR NEW.last_seq <= OLD.last_seq OR NOT starts_with(NEW.history::text, left(OLD.history::text, -1)))
EXECUTE FUNCTION refuse_to_shrink();

-- For people: the packed columns with ids and words.

CREATE VIEW order_list AS
SELECT order_id, customer_id, coalesce(status::text, 'received') AS status, currency, total_minor,
       coalesce(revision, 1) AS revision, coalesce(settled, 0) AS settled, coalesce(last_seq, 1) AS last_seq,
       idempotency_keys.key AS idempotency_key, actor, options, pay_by, coalesce(refund_due_minor, 0) AS refund_due_minor,
       created_at, coalesce(updated_at, created_at) AS updated_at
FROM orders LEFT JOIN order_states USING (order_id) LEFT JOIN idempotency_keys USING (order_id)
     LEFT JOIN payment_deadlines USING (order_id);

CREATE VIEW order_lines AS
SELECT order_id, line_no, line ->> 0 AS product_id, (line ->> 1)::bigint AS quantity,
       (line ->> 2)::bigint AS price_minor
FROM orders, json_array_elements(lines) WITH ORDINALITY AS lines (line, line_no);

CREATE VIEW order_history AS
SELECT order_id, 1::bigint AS seq, 'received' AS status, created_at AS at, actor, NULL AS reason, 1::bigint AS revision,
       NULL AS wanted, NULL AS shipped, NULL AS returned, NULL AS key, NULL AS tracking, NULL::bigint AS shipment,
       NULL::bigint AS decided_at, NULL AS allocated, NULL AS booked_at, NULL AS shortages, NULL AS payment, NULL AS refund
FROM orders
UNION ALL
SELECT order_id, number + 1, entry ->> 'status', (entry ->> 'at')::bigint, entry ->> 'actor', entry ->> 'reason',
       (entry ->> 'revision')::bigint, entry ->> 'wanted', entry ->> 'shipped', entry ->> 'returned', entry -> 'key' ->> 0,
       entry ->> 'tracking', (entry ->> 'shipment')::bigint, (entry ->> 'decided_at')::bigint, entry ->> 'allocated',
       entry ->> 'booked_at', entry ->> 'shortages', entry ->> 'payment', entry ->> 'refund'
FROM order_states, json_array_elements(history) WITH ORDINALITY AS entries (entry, number);
