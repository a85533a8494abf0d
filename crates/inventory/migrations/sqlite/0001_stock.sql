-- The Inventory Service's database: products, locations, stock, the ledger, reservations.
--
-- Times are microseconds since 1970 UTC. Ids of orders and requests are the 16 bytes of a UUID.
-- Products and locations have integer keys, which stay inside this database: the service translates
-- them to ids. The views at the end show ids and words to people.
--
-- SQLite writes whole pages, so rows that are written together stand together: the ledger in the
-- order of its numbers, reservations in the order of their ids, which are UUIDv7.

-- By number: the name of a product in a stock row or a movement. By id: a batch, and GET of one
-- product; pages of products. One look-up each.
CREATE TABLE products (
    product_no   INTEGER NOT NULL PRIMARY KEY,
    product_id   TEXT    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    -- The name without differences of case and composition. SQLite itself knows English only.
    search_name  TEXT    NOT NULL,
    low_stock_at INTEGER CHECK (low_stock_at >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

-- Searches look at every product, in the order of pages: these have what they compare. Products are
-- written rarely.
CREATE INDEX products_by_search ON products (product_id, search_name);
CREATE INDEX products_with_mark ON products (product_id, low_stock_at) WHERE low_stock_at IS NOT NULL;

-- Every batch reads the whole table, which has at most 1 000 rows (R17).
CREATE TABLE locations (
    location_no INTEGER NOT NULL PRIMARY KEY,
    location_id TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 1000000)
) STRICT;

INSERT INTO locations (location_no, location_id, name, priority) VALUES (1, 'main', 'Main', 0);

-- INV-1: the database itself refuses to oversell. By key: the levels of one product, which stand
-- together; one look-up per product of a batch, and one update per changed row.
CREATE TABLE stock (
    product_no    INTEGER NOT NULL REFERENCES products (product_no),
    location_no   INTEGER NOT NULL REFERENCES locations (location_no),
    on_hand       INTEGER NOT NULL CHECK (on_hand <= 1000000000000),
    reserved      INTEGER NOT NULL,
    -- How many movements there were, and the number of the last one (INV-2).
    last_seq      INTEGER NOT NULL CHECK (last_seq >= 1),
    last_movement INTEGER NOT NULL,
    -- The units that cannot be sold until somebody has looked at them.
    quarantined   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (product_no, location_no),
    CHECK (0 <= reserved AND 0 <= quarantined AND reserved + quarantined <= on_hand)
) STRICT, WITHOUT ROWID;

-- INV-2: an append-only ledger. Each movement names the one before it at its stock key (previous)
-- and the one before it of its product at any location (previous_of_product). By number: a page of
-- a ledger follows these names, newest first, one look-up per movement; the audit reads ranges.
CREATE TABLE movements (
    movement_no         INTEGER NOT NULL PRIMARY KEY,
    product_no          INTEGER NOT NULL,
    location_no         INTEGER NOT NULL,
    -- The place of the movement in the ledger of its stock key, from 1 without gaps.
    seq                 INTEGER NOT NULL CHECK (seq >= 1),
    previous            INTEGER,
    previous_of_product INTEGER,
    kind                TEXT    NOT NULL,
    on_hand_delta       INTEGER NOT NULL,
    reserved_delta      INTEGER NOT NULL,
    -- The level after the movement.
    on_hand             INTEGER NOT NULL,
    reserved            INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    -- The cause: an order, or a request with what its client says about it.
    order_id            BLOB CHECK (length(order_id) = 16),
    request_id          BLOB CHECK (length(request_id) = 16),
    request_digest      BLOB CHECK (length(request_digest) = 16),
    reason              TEXT,
    reference           TEXT,
    actor               TEXT,
    -- The change of the quarantined units, and those after the movement; NULL for 0.
    quarantined_delta   INTEGER CHECK (quarantined_delta <> 0),
    quarantined         INTEGER CHECK (quarantined > 0),
    CHECK (0 <= reserved AND reserved + coalesce(quarantined, 0) <= on_hand),
    CHECK ((seq = 1) = (previous IS NULL)),
    CHECK (previous <= previous_of_product AND previous_of_product < movement_no),
    CHECK ((order_id IS NULL) = (request_id IS NOT NULL)),
    -- Not IN: for a list, SQLite would build a table anew for every row.
    CHECK (CASE WHEN order_id IS NULL THEN kind = 'receive' OR kind = 'adjust' OR kind = 'count'
                     OR kind = 'quarantine' OR kind = 'unquarantine' OR kind = 'write_off'
                ELSE kind = 'reserve' OR kind = 'release' OR kind = 'ship' OR kind = 'unship'
                     OR kind = 'return' END),
    CHECK ((request_id IS NULL) = (request_digest IS NULL))
) STRICT;

-- R4: a request moves stock once. By request: the movement that an earlier delivery made; one
-- look-up per request of a batch. Orders have no entry here.
CREATE UNIQUE INDEX movements_by_request ON movements (request_id) WHERE request_id IS NOT NULL;

-- R12: what an order has of the stock, and the memory of what was answered. By order: one look-up
-- per order of a batch, and GET of one reservation. Nothing finds a reservation by product: the
-- ledger of the product names the orders.
CREATE TABLE reservations (
    order_id    BLOB    NOT NULL PRIMARY KEY CHECK (length(order_id) = 16),
    -- The intent that was carried out last, and its digest (R14, R21).
    revision    INTEGER NOT NULL CHECK (revision >= 1),
    digest      BLOB    NOT NULL CHECK (length(digest) = 16),
    -- [[product_no, location_no, promised, released, shipped, [movement_no, ...]], ...]
    allocations TEXT    NOT NULL,
    -- {"revision":1,"short":[["456",1,0,"out_of_stock",[[location_no, movement_no], ...]], ...]}:
    -- product, requested, available, reason, and the movements that were seen (INV-8).
    shortages   TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- What came back: [[product_no, "SHOP", restocked, quarantined, written_off, location_no,
    -- [movement_no, ...]], ...], with the location as the client named it, and where it is booked.
    returns     TEXT
) STRICT, WITHOUT ROWID;

-- The admin log: what people changed by hand. Append-only, and apart from business data. By number:
-- pages of the log, newest first.
CREATE TABLE admin_log (
    entry_no   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT,
    action     TEXT    NOT NULL,
    -- The id of a product, a location, an order, a key or an entry of the quarantine, a request, or an address.
    subject    TEXT    NOT NULL,
    -- JSON.
    before     TEXT,
    after      TEXT    NOT NULL,
    request_id TEXT,
    address    TEXT
) STRICT;

-- R29, INV-13: a row per transaction that moved stock, which numbers its own row. Read by number, which has no gaps.
CREATE TABLE journal (
    no      INTEGER NOT NULL PRIMARY KEY CHECK (no >= 1),
    -- Packed, one per stock key: number of its last movement (8 bytes, big-endian), how many movements (4).
    entries BLOB    NOT NULL CHECK (length(entries) > 0 AND length(entries) % 12 = 0)
) STRICT;

-- R31: which database this is, and which one is that of the Order Service. One row.
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

-- R16: messages that could not be processed. By key: a repeat counts up.
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

-- The ledger is append-only, nothing is deleted, and a revision never falls (R21). SQLite runs no
-- trigger for an INSERT; an UPDATE of a reservation costs one comparison.

CREATE TRIGGER movements_are_not_updated BEFORE UPDATE ON movements
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER movements_are_not_deleted BEFORE DELETE ON movements
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER the_admin_log_is_not_updated BEFORE UPDATE ON admin_log
BEGIN SELECT RAISE(ABORT, 'the admin log is append-only'); END;

CREATE TRIGGER the_admin_log_is_not_deleted BEFORE DELETE ON admin_log
BEGIN SELECT RAISE(ABORT, 'the admin log is append-only'); END;

CREATE TRIGGER products_are_not_deleted BEFORE DELETE ON products
BEGIN SELECT RAISE(ABORT, 'products are never deleted'); END;

CREATE TRIGGER locations_are_not_deleted BEFORE DELETE ON locations
BEGIN SELECT RAISE(ABORT, 'locations are never deleted'); END;

CREATE TRIGGER stock_is_not_deleted BEFORE DELETE ON stock
BEGIN SELECT RAISE(ABORT, 'stock rows are never deleted'); END;

CREATE TRIGGER reservations_are_not_deleted BEFORE DELETE ON reservations
BEGIN SELECT RAISE(ABORT, 'reservations are never deleted'); END;

CREATE TRIGGER revisions_do_not_fall BEFORE UPDATE ON reservations WHEN NEW.revision < OLD.revision
BEGIN SELECT RAISE(ABORT, 'a revision never falls'); END;

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

-- For people: what orders have of the stock, one row per order and stock key. All reservations are
-- read.
CREATE VIEW allocations AS
SELECT lower(substr(hex(order_id), 1, 8) || '-' || substr(hex(order_id), 9, 4) || '-' || substr(hex(order_id), 13, 4)
           || '-' || substr(hex(order_id), 17, 4) || '-' || substr(hex(order_id), 21)) AS order_id,
       revision, product_id, location_id,
       held.value ->> 2 AS promised,
       held.value ->> 3 AS released,
       held.value ->> 4 AS shipped,
       (held.value ->> 2) - (held.value ->> 3) AS allocated,
       (held.value ->> 2) - (held.value ->> 3) - (held.value ->> 4) AS reserved,
       held.value -> 5 AS movements,
       strftime('%Y-%m-%dT%H:%M:%fZ', reservations.updated_at / 1000000.0, 'unixepoch') AS updated_at
FROM reservations, json_each(reservations.allocations) AS held
     LEFT JOIN products ON products.product_no = held.value ->> 0
     LEFT JOIN locations ON locations.location_no = held.value ->> 1;

-- For people: why orders got nothing of what they asked for, one row per order and short product.
CREATE VIEW shortages AS
SELECT lower(substr(hex(order_id), 1, 8) || '-' || substr(hex(order_id), 9, 4) || '-' || substr(hex(order_id), 13, 4)
           || '-' || substr(hex(order_id), 17, 4) || '-' || substr(hex(order_id), 21)) AS order_id,
       reservations.shortages ->> 'revision' AS revision,
       short.value ->> 0 AS product_id,
       short.value ->> 1 AS requested,
       short.value ->> 2 AS available,
       short.value ->> 3 AS reason
FROM reservations, json_each(reservations.shortages, '$.short') AS short;

-- For people: what came back, one row per order, product and location as the client named it.
CREATE VIEW returns AS
SELECT lower(substr(hex(order_id), 1, 8) || '-' || substr(hex(order_id), 9, 4) || '-' || substr(hex(order_id), 13, 4)
           || '-' || substr(hex(order_id), 17, 4) || '-' || substr(hex(order_id), 21)) AS order_id,
       product_id,
       back.value ->> 1 AS returned_to,
       back.value ->> 2 AS restocked,
       back.value ->> 3 AS quarantined,
       back.value ->> 4 AS written_off,
       location_id AS booked_at,
       back.value -> 6 AS movements
FROM reservations, json_each(reservations.returns) AS back
     LEFT JOIN products ON products.product_no = back.value ->> 0
     LEFT JOIN locations ON locations.location_no = back.value ->> 5;

-- For people: the movements with their product and location. All of it is read unless movement_no
-- is given; a ledger is followed by a recursive query over previous or previous_of_product.
CREATE VIEW ledger AS
SELECT movement_no, product_id, location_id, seq, kind, on_hand_delta, reserved_delta,
       coalesce(quarantined_delta, 0) AS quarantined_delta, on_hand, reserved, coalesce(quarantined, 0) AS quarantined,
       on_hand - reserved - coalesce(quarantined, 0) AS available, previous, previous_of_product,
       lower(substr(hex(order_id), 1, 8) || '-' || substr(hex(order_id), 9, 4) || '-' || substr(hex(order_id), 13, 4)
           || '-' || substr(hex(order_id), 17, 4) || '-' || substr(nullif(hex(order_id), ''), 21)) AS order_id,
       reason, reference, actor,
       strftime('%Y-%m-%dT%H:%M:%fZ', movements.created_at / 1000000.0, 'unixepoch') AS created_at
FROM movements
     LEFT JOIN products USING (product_no)
     LEFT JOIN locations USING (location_no);
