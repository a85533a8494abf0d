-- Times are microseconds since the epoch; ids of orders and requests are the 16 bytes of a UUID.

CREATE TABLE products (
    product_id   TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    -- The name in lower case, of every alphabet: SQLite itself knows only that of English.
    search_name  TEXT    NOT NULL,
    low_stock_at INTEGER CHECK (low_stock_at >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE locations (
    location_id TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 1000000)
) STRICT, WITHOUT ROWID;

INSERT INTO locations (location_id, name, priority) VALUES ('main', 'Main', 0);

-- INV-1: the database itself refuses to oversell.
CREATE TABLE stock (
    product_id  TEXT    NOT NULL REFERENCES products (product_id),
    location_id TEXT    NOT NULL REFERENCES locations (location_id),
    on_hand     INTEGER NOT NULL CHECK (on_hand <= 1000000000000),
    reserved    INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL CHECK (last_seq >= 1),
    PRIMARY KEY (product_id, location_id),
    CHECK (0 <= reserved AND reserved <= on_hand)
) STRICT, WITHOUT ROWID;

-- INV-2: append-only, and without gaps from 1.
CREATE TABLE movements (
    product_id     TEXT    NOT NULL,
    location_id    TEXT    NOT NULL,
    seq            INTEGER NOT NULL CHECK (seq >= 1),
    kind           TEXT    NOT NULL CHECK (kind IN ('receive', 'adjust', 'count', 'reserve', 'release', 'ship')),
    on_hand_delta  INTEGER NOT NULL,
    reserved_delta INTEGER NOT NULL,
    on_hand        INTEGER NOT NULL,
    reserved       INTEGER NOT NULL,
    order_id       BLOB    CHECK (length(order_id) = 16),
    request_id     BLOB    CHECK (length(request_id) = 16),
    request_digest BLOB    CHECK (length(request_digest) = 16),
    reason         TEXT,
    reference      TEXT,
    actor          TEXT,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (product_id, location_id, seq),
    FOREIGN KEY (product_id, location_id) REFERENCES stock (product_id, location_id),
    CHECK (0 <= reserved AND reserved <= on_hand),
    CHECK ((kind IN ('reserve', 'release', 'ship')) = (order_id IS NOT NULL)),
    CHECK ((order_id IS NULL) = (request_id IS NOT NULL)),
    CHECK ((request_id IS NULL) = (request_digest IS NULL))
) STRICT, WITHOUT ROWID;

-- R4: a request moves stock once.
CREATE UNIQUE INDEX movements_by_request ON movements (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX movements_by_time ON movements (product_id, created_at, location_id, seq);

CREATE TRIGGER movements_have_no_gap BEFORE INSERT ON movements
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM movements
                 WHERE product_id = NEW.product_id AND location_id = NEW.location_id)
BEGIN SELECT RAISE(ABORT, 'a ledger has no gap'); END;

CREATE TRIGGER movements_are_not_updated BEFORE UPDATE ON movements
BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;

CREATE TRIGGER movements_are_not_deleted BEFORE DELETE ON movements
BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;

-- R12: also the memory of what was answered. What a rejection was short of stays after a release (INV-8).
CREATE TABLE reservations (
    order_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(order_id) = 16),
    state      TEXT    NOT NULL CHECK (state IN ('reserved', 'rejected', 'released', 'shipped')),
    digest     BLOB    NOT NULL CHECK (length(digest) = 16),
    shortages  TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((state = 'rejected') <= (shortages IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Never changed: what is held follows from the reservation's state (INV-3).
CREATE TABLE allocations (
    order_id    BLOB    NOT NULL REFERENCES reservations (order_id),
    product_id  TEXT    NOT NULL,
    location_id TEXT    NOT NULL,
    quantity    INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    PRIMARY KEY (order_id, product_id, location_id),
    FOREIGN KEY (product_id, location_id) REFERENCES stock (product_id, location_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX allocations_by_place ON allocations (product_id, location_id);

CREATE TABLE quarantine (
    key      BLOB    NOT NULL PRIMARY KEY,
    subject  TEXT,
    kind     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    bytes    BLOB    NOT NULL,
    length   INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count >= 1),
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
