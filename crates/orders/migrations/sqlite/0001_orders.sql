-- Times are microseconds since the epoch. Ids of orders and digests are 16 bytes. Packed columns are JSON.
--
-- An order is two rows, and neither changes on a plain order's way to its outcome. `orders` never changes.
-- `order_states` begins with the first answer or change; until then an order is `received`, at revision 1.
-- What belongs to one order stands together, in the order of time: `order_no` rises with every order.

-- Read by number (newest first), by id (one order), by key and by customer.
CREATE TABLE orders (
    order_no        INTEGER NOT NULL PRIMARY KEY,
    order_id        BLOB    NOT NULL UNIQUE CHECK (length(order_id) = 16),
    customer_id     TEXT    NOT NULL,
    currency        TEXT    NOT NULL,
    total_minor     INTEGER NOT NULL CHECK (total_minor BETWEEN 0 AND 9007199254740991),
    -- Of the first intent (R14).
    digest          BLOB    NOT NULL CHECK (length(digest) = 16),
    -- Behind the client that it belongs to, if clients are asked who they are.
    idempotency_key TEXT,
    -- [["789",2,1999],["456",1,2999]]: product, quantity and price in minor units, as the client sent them.
    lines           TEXT    NOT NULL CHECK (lines LIKE '[[%]]'),
    -- {"payment":{"within_s":900}}: how long the units are reserved until the order is paid; NULL without options.
    options         TEXT    CHECK (options LIKE '{%}'),
    -- Who placed the order; NULL if clients are not asked who they are.
    actor           TEXT,
    created_at      INTEGER NOT NULL
) STRICT;

-- INV-6: the first order with a key has it for ever. Serves a repeated placement: one look-up at a random position,
-- only for orders with a key.
CREATE UNIQUE INDEX orders_by_key ON orders (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Serves the list of a customer: one look-up per stretch of 4096 orders, newest first. A batch writes to the pages of
-- the newest stretch only, however many customers there are.
CREATE INDEX orders_by_customer ON orders (order_no >> 12, customer_id);

-- INV-4: the history is the only copy of the registers; the other columns follow from it, for queries and for the
-- compare-and-set on `last_seq` (R13).
CREATE TABLE order_states (
    order_no   INTEGER NOT NULL PRIMARY KEY,
    -- Not IN: for a list, SQLite would build a table anew for every row.
    status     TEXT    NOT NULL CHECK (status = 'confirmed' OR status = 'rejected' OR status = 'cancelling'
                                       OR status = 'cancelled' OR status = 'fulfilling' OR status = 'fulfilled'
                                       OR status = 'reserved' OR status = 'amending' OR status = 'expiring'
                                       OR status = 'expired' OR status = 'reviving'
                                       OR status = 'received'), -- paid before it was answered
    revision   INTEGER NOT NULL,
    -- The revision that Inventory answered last; 0 before its first answer.
    settled    INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL CHECK (last_seq >= 2),
    -- Of the intent, if it is newer than the first.
    digest     BLOB    CHECK (length(digest) = 16),
    updated_at INTEGER NOT NULL,
    -- INV-9: what must be given back, in minor units; NULL if nothing.
    refund_due_minor INTEGER CHECK (refund_due_minor > 0),
    -- Entries from the second on, oldest first. The first entry is the row in `orders`.
    history    TEXT    NOT NULL CHECK (history LIKE '[{%}]'),
    CHECK (0 <= settled AND settled <= revision AND (digest IS NULL) = (revision = 1))
) STRICT;

-- Serves the list of a status, newest first: three look-ups per order.
CREATE INDEX orders_by_status ON order_states (status);

-- Serves the list of orders whose money is to be given back, newest first: three look-ups per order.
CREATE INDEX orders_by_refund_due ON order_states (order_no) WHERE refund_due_minor > 0;

-- INV-7: a row exists exactly while the intent is ahead of the facts. Outbox and timer in one. Serves the list of
-- `received` orders as well: those at revision 1.
CREATE TABLE pending_commands (
    order_no        INTEGER NOT NULL PRIMARY KEY,
    revision        INTEGER NOT NULL CHECK (revision >= 1),
    attempt         INTEGER NOT NULL CHECK (attempt >= 1),
    since           INTEGER NOT NULL,
    sent_at         INTEGER NOT NULL,
    -- 0 if an operator made it due.
    next_attempt_at INTEGER NOT NULL,
    traceparent     TEXT
) STRICT;

-- Serves the sweeper's leases: as many rows as it takes.
CREATE INDEX pending_commands_by_next_attempt ON pending_commands (next_attempt_at);

-- INV-7, R25: a row exists exactly while the order is `reserved`.
CREATE TABLE payment_deadlines (
    order_no        INTEGER NOT NULL PRIMARY KEY,
    -- When the units were reserved; or when the deadline was armed again, since the clock was set back.
    armed_at        INTEGER NOT NULL,
    -- When the units are released.
    pay_by          INTEGER NOT NULL,
    -- When that is asked for: at `pay_by`, and after every lease again.
    next_attempt_at INTEGER NOT NULL
) STRICT;

-- Serves the leases of what is due: as many rows as they take.
CREATE INDEX payment_deadlines_by_next_attempt ON payment_deadlines (next_attempt_at);

-- Serves the look for leases of a clock that was ahead: one look-up if there are none.
CREATE INDEX payment_deadlines_leased ON payment_deadlines (next_attempt_at) WHERE next_attempt_at > pay_by;

-- Serves the count of what has passed.
CREATE INDEX payment_deadlines_by_pay_by ON payment_deadlines (pay_by);

-- Serves the look for deadlines that were armed before the clock was set back: one look-up if there are none.
CREATE INDEX payment_deadlines_by_armed_at ON payment_deadlines (armed_at);

-- R29, INV-13: a row per transaction that made entries of histories, which numbers its own row. Read by number, which
-- has no gaps.
CREATE TABLE journal (
    no      INTEGER NOT NULL PRIMARY KEY CHECK (no >= 1),
    -- Packed: order id (16 bytes), seq (4, big-endian), code of what the entry is (1).
    entries BLOB    NOT NULL CHECK (length(entries) > 0 AND length(entries) % 21 = 0)
) STRICT;

-- R31: which database this is, and which one is that of the Inventory Service. One row.
CREATE TABLE deployment (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id   BLOB    NOT NULL CHECK (length(id) = 16),
    peer BLOB    CHECK (length(peer) = 16)
) STRICT;

-- R31: where the database was when it was used on each channel of a broker. A copy is elsewhere.
CREATE TABLE deployment_channels (
    channel  TEXT NOT NULL PRIMARY KEY,
    location TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO deployment (one, id) VALUES (1, randomblob(16));

CREATE TABLE quarantine (
    key      BLOB    NOT NULL PRIMARY KEY,
    subject  TEXT,
    kind     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    length   INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count >= 1),
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    -- By an operator, who has seen it; NULL again as soon as it is repeated.
    discarded_at INTEGER,
    discarded_by TEXT,
    -- The last column, so that lists do not read it.
    bytes    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- API keys, never a key itself but the hash of its secret. By id: a change of one key, and the notes
-- of last uses. The service reads all of them when their version has changed, and writes when they
-- were last used, and nothing else.
CREATE TABLE api_keys (
    id                  TEXT    NOT NULL PRIMARY KEY,
    name                TEXT    NOT NULL,
    -- Separated by spaces.
    scopes              TEXT    NOT NULL,
    mode                TEXT    NOT NULL CHECK (mode IN ('live', 'test')),
    customer_id         TEXT,
    rate                INTEGER,
    burst               INTEGER,
    sha256              BLOB    NOT NULL CHECK (length(sha256) = 32),
    created_at          INTEGER NOT NULL,
    created_by          TEXT    NOT NULL,
    not_after           INTEGER NOT NULL,
    -- The secret before the last rotation.
    previous_sha256     BLOB    CHECK (length(previous_sha256) = 32),
    previous_replaced_at INTEGER,
    previous_not_after  INTEGER,
    revoked_at          INTEGER,
    -- When a client last used the key, its secret, and the secret before the last rotation.
    last_used_at          INTEGER,
    secret_last_used_at   INTEGER,
    previous_last_used_at INTEGER,
    CHECK ((previous_sha256 IS NULL) = (previous_replaced_at IS NULL)),
    CHECK ((previous_sha256 IS NULL) = (previous_not_after IS NULL))
) STRICT, WITHOUT ROWID;

-- Counts the changes of api_keys. One row, which the service reads every two seconds.
CREATE TABLE api_keys_version (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;

INSERT INTO api_keys_version (one, version) VALUES (1, 0);

-- The admin log: who made and revoked which key, sent which command again, and discarded which entry of the
-- quarantine; which administrative requests were refused. Append-only. By number: newest first.
CREATE TABLE admin_log (
    entry_no   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT,
    action     TEXT    NOT NULL,
    -- The id of a key, an order or an entry of the quarantine, a request, or an address.
    subject    TEXT    NOT NULL,
    -- JSON.
    before     TEXT,
    after      TEXT    NOT NULL,
    request_id TEXT,
    address    TEXT
) STRICT;

CREATE TRIGGER an_order_is_not_updated BEFORE UPDATE ON orders
BEGIN SELECT RAISE(ABORT, 'an accepted order never changes'); END;

CREATE TRIGGER an_order_is_not_deleted BEFORE DELETE ON orders
BEGIN SELECT RAISE(ABORT, 'an accepted order is never deleted'); END;

CREATE TRIGGER a_state_is_not_deleted BEFORE DELETE ON order_states
BEGIN SELECT RAISE(ABORT, 'the history of an order is never deleted'); END;

CREATE TRIGGER the_admin_log_is_not_updated BEFORE UPDATE ON admin_log
BEGIN SELECT RAISE(ABORT, 'the admin log is append-only'); END;

CREATE TRIGGER the_admin_log_is_not_deleted BEFORE DELETE ON admin_log
BEGIN SELECT RAISE(ABORT, 'the admin log is append-only'); END;

CREATE TRIGGER the_journal_is_not_updated BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER the_journal_is_not_deleted BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- Histories name keys by their ids, so a key is revoked and never deleted. Every change counts except
-- a note of a use.
CREATE TRIGGER keys_are_not_deleted BEFORE DELETE ON api_keys
BEGIN SELECT RAISE(ABORT, 'a key is revoked and never deleted'); END;

CREATE TRIGGER the_version_is_not_deleted BEFORE DELETE ON api_keys_version
BEGIN SELECT RAISE(ABORT, 'the version of the keys is never deleted'); END;

-- A key that was revoked stays so.
CREATE TRIGGER a_revocation_stays BEFORE UPDATE ON api_keys
WHEN OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at
BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END;

CREATE TRIGGER a_new_key_counts AFTER INSERT ON api_keys
BEGIN UPDATE api_keys_version SET version = version + 1; END;

CREATE TRIGGER a_change_of_a_key_counts AFTER UPDATE OF
    id, name, scopes, mode, customer_id, rate, burst, sha256, created_at, created_by, not_after, previous_sha256,
    previous_replaced_at, previous_not_after, revoked_at ON api_keys
BEGIN UPDATE api_keys_version SET version = version + 1; END;

-- The new text begins with the old one, without the bracket that closes it.
CREATE TRIGGER a_history_only_grows BEFORE UPDATE ON order_states
WHEN NEW.order_no <> OLD.order_no OR NEW.revision < OLD.revision OR NEW.settled < OLD.settled
  OR NEW.last_seq <= OLD.last_seq OR length(NEW.history) <= length(OLD.history)
  OR substr(NEW.history, 1, length(OLD.history) - 1) <> substr(OLD.history, 1, length(OLD.history) - 1)
BEGIN SELECT RAISE(ABORT, 'a history only grows, and a revision never falls'); END;

-- For people: the packed columns with ids and words.

CREATE VIEW order_list AS
SELECT order_no,
       lower(substr(hex(order_id), 1, 8) || '-' || substr(hex(order_id), 9, 4) || '-' || substr(hex(order_id), 13, 4)
             || '-' || substr(hex(order_id), 17, 4) || '-' || substr(hex(order_id), 21)) AS order_id,
       customer_id, coalesce(status, 'received') AS status, currency, total_minor, coalesce(revision, 1) AS revision,
       coalesce(settled, 0) AS settled, coalesce(last_seq, 1) AS last_seq, idempotency_key, actor, options, pay_by,
       coalesce(refund_due_minor, 0) AS refund_due_minor, created_at, coalesce(updated_at, created_at) AS updated_at
FROM orders LEFT JOIN order_states USING (order_no) LEFT JOIN payment_deadlines USING (order_no);

CREATE VIEW order_lines AS
SELECT order_list.order_id, line.key + 1 AS line_no, line.value ->> 0 AS product_id, line.value ->> 1 AS quantity,
       line.value ->> 2 AS price_minor
FROM orders JOIN order_list USING (order_no), json_each(orders.lines) AS line;

CREATE VIEW order_history AS
SELECT order_id, 1 AS seq, 'received' AS status, created_at AS at, actor, NULL AS reason, 1 AS revision, NULL AS wanted,
       NULL AS shipped, NULL AS returned, NULL AS key, NULL AS tracking, NULL AS shipment, NULL AS decided_at,
       NULL AS allocated, NULL AS booked_at, NULL AS shortages, NULL AS payment, NULL AS refund
FROM order_list
UNION ALL
SELECT order_list.order_id, entry.key + 2, entry.value ->> 'status', entry.value ->> 'at', entry.value ->> 'actor',
       entry.value ->> 'reason', entry.value ->> 'revision', entry.value ->> 'wanted', entry.value ->> 'shipped',
       entry.value ->> 'returned', entry.value ->> '$.key[0]', entry.value ->> 'tracking', entry.value ->> 'shipment',
       entry.value ->> 'decided_at', entry.value ->> 'allocated', entry.value ->> 'booked_at', entry.value ->> 'shortages',
       entry.value ->> 'payment', entry.value ->> 'refund'
FROM order_states JOIN order_list USING (order_no), json_each(order_states.history) AS entry;
