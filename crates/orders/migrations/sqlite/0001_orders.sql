-- Times are microseconds since the epoch; ids of orders are the 16 bytes of a UUID.

CREATE TABLE orders (
    order_id        BLOB    NOT NULL PRIMARY KEY CHECK (length(order_id) = 16),
    customer_id     TEXT    NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN
                    ('received', 'confirmed', 'rejected', 'cancelling', 'cancelled', 'fulfilling', 'fulfilled')),
    currency        TEXT    NOT NULL,
    total_minor     INTEGER NOT NULL CHECK (total_minor BETWEEN 0 AND 9007199254740991),
    digest          BLOB    NOT NULL CHECK (length(digest) = 16),
    request_digest  BLOB    NOT NULL CHECK (length(request_digest) = 16),
    idempotency_key TEXT    UNIQUE,
    last_seq        INTEGER NOT NULL CHECK (last_seq >= 1),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX orders_by_customer ON orders (customer_id, order_id);
CREATE INDEX orders_by_status ON orders (status, order_id);

CREATE TABLE order_lines (
    order_id    BLOB    NOT NULL REFERENCES orders (order_id),
    line_no     INTEGER NOT NULL CHECK (line_no BETWEEN 1 AND 100),
    product_id  TEXT    NOT NULL,
    quantity    INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
    PRIMARY KEY (order_id, line_no)
) STRICT, WITHOUT ROWID;

-- INV-4: append-only, and without gaps from 1.
CREATE TABLE order_history (
    order_id    BLOB    NOT NULL REFERENCES orders (order_id),
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    status      TEXT    NOT NULL,
    reason      TEXT,
    at          INTEGER NOT NULL,
    decided_at  INTEGER,
    allocations TEXT,
    shortages   TEXT,
    PRIMARY KEY (order_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER order_history_has_no_gap BEFORE INSERT ON order_history
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM order_history WHERE order_id = NEW.order_id)
BEGIN SELECT RAISE(ABORT, 'a history has no gap'); END;

CREATE TRIGGER order_history_is_not_updated BEFORE UPDATE ON order_history
BEGIN SELECT RAISE(ABORT, 'a history is append-only'); END;

CREATE TRIGGER order_history_is_not_deleted BEFORE DELETE ON order_history
BEGIN SELECT RAISE(ABORT, 'a history is append-only'); END;

-- INV-7: a row exists exactly while the order waits for an answer. Outbox and timer in one.
CREATE TABLE pending_commands (
    order_id        BLOB    NOT NULL PRIMARY KEY REFERENCES orders (order_id),
    kind            TEXT    NOT NULL CHECK (kind IN ('ReserveStock', 'ReleaseStock', 'ShipStock')),
    attempt         INTEGER NOT NULL CHECK (attempt >= 1),
    since           INTEGER NOT NULL,
    sent_at         INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    traceparent     TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_commands_by_next_attempt ON pending_commands (next_attempt_at);
CREATE INDEX pending_commands_by_since ON pending_commands (since);

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
