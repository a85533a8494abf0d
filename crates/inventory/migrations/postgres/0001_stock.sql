-- The Inventory Service's database: products, locations, stock, the ledger, reservations.
--
-- Times are microseconds since 1970 UTC. Ids in text sort by their bytes, whatever the language of
-- the database, so that locks and pages have one order everywhere. Products and locations have
-- integer keys, which stay inside this database: the service translates them to ids. The views at
-- the end show ids and words to people.
--
-- There are no foreign keys from the ledger and the reservations: PostgreSQL would look each row up
-- once more. One transaction writes them all, and the audit compares them.

-- By number: the name of a product in a stock row or a movement. By id: the locks of a batch, GET
-- of one product, pages of products. One look-up each.
CREATE TABLE products (
    product_no   integer NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id   text    NOT NULL COLLATE "C" UNIQUE,
    name         text    NOT NULL,
    -- The name without differences of case and composition, as the program understands that.
    search_name  text    NOT NULL,
    low_stock_at bigint  CHECK (low_stock_at >= 0),
    created_at   bigint  NOT NULL,
    updated_at   bigint  NOT NULL
);

-- Products that may be low on stock, in the order of pages. A search for text reads the table.
CREATE INDEX products_with_mark ON products (product_id) WHERE low_stock_at IS NOT NULL;

-- Every batch reads the whole table, which has at most 1 000 rows (R17).
CREATE TABLE locations (
    location_no integer NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    location_id text    NOT NULL COLLATE "C" UNIQUE,
    name        text    NOT NULL,
    priority    integer NOT NULL CHECK (priority BETWEEN 0 AND 1000000)
);

INSERT INTO locations (location_id, name, priority) VALUES ('main', 'Main', 0);

-- INV-1: the database itself refuses to oversell. By key: the levels of one product; one range per
-- product of a batch, and one update per changed row. Half of each page stays free, and no changed
-- column is indexed, so that updates are HOT: they stay on their page and write no index.
CREATE TABLE stock (
    on_hand       bigint  NOT NULL CHECK (on_hand <= 1000000000000),
    reserved      bigint  NOT NULL,
    -- How many movements there were, and the number of the last one (INV-2).
    last_seq      bigint  NOT NULL CHECK (last_seq >= 1),
    last_movement bigint  NOT NULL,
    product_no    integer NOT NULL REFERENCES products (product_no),
    location_no   integer NOT NULL REFERENCES locations (location_no),
    -- The units that cannot be sold until somebody has looked at them.
    quarantined   bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (product_no, location_no),
    CHECK (0 <= reserved AND 0 <= quarantined AND reserved + quarantined <= on_hand)
) WITH (fillfactor = 50);

CREATE TYPE movement_kind AS ENUM ('receive', 'adjust', 'count', 'reserve', 'release', 'ship', 'unship', 'return',
    'quarantine', 'unquarantine', 'write_off');

-- INV-2: an append-only ledger. Each movement names the one before it at its stock key (previous)
-- and the one before it of its product at any location (previous_of_product). By number: a page of
-- a ledger follows these names, newest first, one look-up per movement; the audit reads ranges.
CREATE TABLE movements (
    -- The number of the batch * 2^20 + the position of the movement in the batch.
    movement_no         bigint  NOT NULL PRIMARY KEY,
    previous            bigint,
    previous_of_product bigint,
    -- The place of the movement in the ledger of its stock key, from 1 without gaps.
    seq                 bigint  NOT NULL CHECK (seq >= 1),
    on_hand_delta       bigint  NOT NULL,
    reserved_delta      bigint  NOT NULL,
    -- The level after the movement.
    on_hand             bigint  NOT NULL,
    reserved            bigint  NOT NULL,
    created_at          bigint  NOT NULL,
    product_no          integer NOT NULL,
    location_no         integer NOT NULL,
    kind                movement_kind NOT NULL,
    -- The cause: an order, or a request with what its client says about it.
    order_id            uuid,
    request_id          uuid,
    request_digest      uuid,
    reason              text,
    reference           text,
    actor               text,
    -- The change of the quarantined units, and those after the movement; NULL for 0.
    quarantined_delta   bigint CHECK (quarantined_delta <> 0),
    quarantined         bigint CHECK (quarantined > 0),
    CHECK (0 <= reserved AND reserved + coalesce(quarantined, 0) <= on_hand),
    CHECK ((seq = 1) = (previous IS NULL)),
    CHECK (previous <= previous_of_product AND previous_of_product < movement_no),
    CHECK ((order_id IS NULL) = (request_id IS NOT NULL)),
    CHECK ((kind IN ('reserve', 'release', 'ship', 'unship', 'return')) = (order_id IS NOT NULL)),
    CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

-- R4: a request moves stock once. By request: the movement that an earlier delivery made; one
-- look-up per request of a batch. Orders have no entry here.
CREATE UNIQUE INDEX movements_by_request ON movements (request_id) WHERE request_id IS NOT NULL;

-- The numbers of batches. A batch draws its number after it has locked its products, so the numbers
-- of a product's movements rise in the order of commits. Numbers of batches that were rolled back
-- are lost.
CREATE SEQUENCE batch_numbers;

-- R12: what an order has of the stock, and the memory of what was answered. By order: one look-up
-- per order of a batch, and GET of one reservation. Nothing finds a reservation by product: the
-- ledger of the product names the orders. A tenth of each page stays free for HOT updates.
CREATE TABLE reservations (
    order_id    uuid    NOT NULL PRIMARY KEY,
    -- The digest of the intent that was carried out last, and its revision (R14, R21).
    digest      uuid    NOT NULL,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    revision    bigint  NOT NULL CHECK (revision >= 1),
    -- [[product_no, location_no, promised, released, shipped, [movement_no, ...]], ...]
    allocations json    NOT NULL,
    -- {"revision":1,"short":[["456",1,0,"out_of_stock",[[location_no, movement_no], ...]], ...]}:
    -- product, requested, available, reason, and the movements that were seen (INV-8).
    shortages   json,
    -- What came back: [[product_no, "SHOP", restocked, quarantined, written_off, location_no,
    -- [movement_no, ...]], ...], with the location as the client named it, and where it is booked.
    returns     json
) WITH (fillfactor = 90);

-- The admin log: what people changed by hand. Append-only, and apart from business data. By number:
-- pages of the log, newest first.
CREATE TABLE admin_log (
    entry_no   bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         bigint NOT NULL,
    actor      text,
    action     text   NOT NULL,
    -- The id of a product, a location, an order, a key or an entry of the quarantine, a request, or an address.
    subject    text   NOT NULL,
    before     json,
    after      json   NOT NULL,
    request_id text,
    address    text
);

-- R29, INV-13: a row per transaction that moved stock, numbered after its commit by the replica that has the head.
-- Readers follow `no`, which has no gaps. `id` is drawn when all locks of the batch are held, so what is committed later
-- about the same stock key has a greater one.
CREATE TABLE journal (
    -- The key also names a row in a publication of all tables: without one the database refuses to number rows there.
    id      bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    no      bigint CHECK (no >= 1),
    -- Packed, one per stock key: number of its last movement (8 bytes, big-endian), how many movements (4).
    entries bytea  NOT NULL CHECK (length(entries) > 0 AND length(entries) % 12 = 0)
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

-- R31: which database this is, and which one is that of the Order Service. One row.
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

-- R16: messages that could not be processed. By key: a repeat counts up.
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

-- The ledger is append-only, nothing is deleted, and a revision never falls (R21). No trigger runs
-- for an INSERT; an UPDATE of a reservation costs one comparison.

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% of % is forbidden', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER the_ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements EXECUTE FUNCTION refuse();
CREATE TRIGGER the_admin_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_log EXECUTE FUNCTION refuse();
CREATE TRIGGER products_stay BEFORE DELETE OR TRUNCATE ON products EXECUTE FUNCTION refuse();
CREATE TRIGGER locations_stay BEFORE DELETE OR TRUNCATE ON locations EXECUTE FUNCTION refuse();
CREATE TRIGGER stock_stays BEFORE DELETE OR TRUNCATE ON stock EXECUTE FUNCTION refuse();
CREATE TRIGGER reservations_stay BEFORE DELETE OR TRUNCATE ON reservations EXECUTE FUNCTION refuse();
CREATE TRIGGER revisions_do_not_fall BEFORE UPDATE ON reservations
FOR EACH ROW WHEN (NEW.revision < OLD.revision) EXECUTE FUNCTION refuse();

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

-- For people: what orders have of the stock, one row per order and stock key. All of it is read
-- unless order_id is given, and then one look-up.
CREATE VIEW allocations AS
SELECT order_id, revision, product_id, location_id,
       (held.value ->> 2)::bigint AS promised,
       (held.value ->> 3)::bigint AS released,
       (held.value ->> 4)::bigint AS shipped,
       (held.value ->> 2)::bigint - (held.value ->> 3)::bigint AS allocated,
       (held.value ->> 2)::bigint - (held.value ->> 3)::bigint - (held.value ->> 4)::bigint AS reserved,
       held.value -> 5 AS movements,
       to_timestamp(reservations.updated_at / 1000000.0) AS updated_at
FROM reservations
     CROSS JOIN json_array_elements(reservations.allocations) AS held (value)
     LEFT JOIN products ON products.product_no = (held.value ->> 0)::integer
     LEFT JOIN locations ON locations.location_no = (held.value ->> 1)::integer;

-- For people: why orders got nothing of what they asked for, one row per order and short product.
CREATE VIEW shortages AS
SELECT order_id,
       (reservations.shortages ->> 'revision')::bigint AS revision,
       short.value ->> 0 AS product_id,
       (short.value ->> 1)::bigint AS requested,
       (short.value ->> 2)::bigint AS available,
       short.value ->> 3 AS reason
FROM reservations CROSS JOIN json_array_elements(reservations.shortages -> 'short') AS short (value);

-- For people: what came back, one row per order, product and location as the client named it.
CREATE VIEW returns AS
SELECT order_id, product_id,
       back.value ->> 1 AS returned_to,
       (back.value ->> 2)::bigint AS restocked,
       (back.value ->> 3)::bigint AS quarantined,
       (back.value ->> 4)::bigint AS written_off,
       location_id AS booked_at,
       back.value -> 6 AS movements
FROM reservations
     CROSS JOIN json_array_elements(reservations.returns) AS back (value)
     LEFT JOIN products ON products.product_no = (back.value ->> 0)::integer
     LEFT JOIN locations ON locations.location_no = (back.value ->> 5)::integer;

-- For people: the movements with their product and location. All of it is read unless movement_no
-- is given; a ledger is followed by a recursive query over previous or previous_of_product.
CREATE VIEW ledger AS
SELECT movement_no, product_id, location_id, seq, kind, on_hand_delta, reserved_delta,
       coalesce(quarantined_delta, 0) AS quarantined_delta, on_hand, reserved, coalesce(quarantined, 0) AS quarantined,
       on_hand - reserved - coalesce(quarantined, 0) AS available, previous, previous_of_product, order_id, reason, reference, actor,
       to_timestamp(movements.created_at / 1000000.0) AS created_at
FROM movements
     LEFT JOIN products USING (product_no)
     LEFT JOIN locations USING (location_no);
