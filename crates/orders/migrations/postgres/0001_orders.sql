-- Times are microseconds since the epoch. Ids sort by their bytes, whatever the language of the database.
-- No foreign keys between orders and what belongs to them: each row would be looked up again, and one transaction writes
-- them all; `lastro verify` holds them against each other.

CREATE TABLE orders (
    order_id        uuid   NOT NULL PRIMARY KEY,
    customer_id     text   NOT NULL COLLATE "C",
    status          text   NOT NULL CHECK (status IN
                    ('received', 'confirmed', 'rejected', 'cancelling', 'cancelled', 'fulfilling', 'fulfilled')),
    currency        text   NOT NULL,
    total_minor     bigint NOT NULL CHECK (total_minor BETWEEN 0 AND 9007199254740991),
    digest          bytea  NOT NULL CHECK (length(digest) = 16),
    request_digest  bytea  NOT NULL CHECK (length(request_digest) = 16),
    last_seq        bigint NOT NULL CHECK (last_seq >= 1),
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL
);

CREATE INDEX orders_by_customer ON orders (customer_id, order_id);
CREATE INDEX orders_by_status ON orders (status, order_id);

-- INV-6: the first order with a key has it for ever. A table of its own, since a key is taken before anything is decided.
CREATE TABLE idempotency_keys (
    key      text NOT NULL COLLATE "C" PRIMARY KEY,
    order_id uuid NOT NULL
);

CREATE TABLE order_lines (
    order_id    uuid   NOT NULL,
    line_no     bigint NOT NULL CHECK (line_no BETWEEN 1 AND 100),
    product_id  text   NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    PRIMARY KEY (order_id, line_no)
);

-- INV-4: append-only, and without gaps from 1.
CREATE TABLE order_history (
    order_id    uuid   NOT NULL,
    seq         bigint NOT NULL CHECK (seq >= 1),
    status      text   NOT NULL,
    reason      text,
    at          bigint NOT NULL,
    decided_at  bigint,
    allocations text,
    shortages   text,
    PRIMARY KEY (order_id, seq)
);

-- INV-7: a row exists exactly while the order waits for an answer. Outbox and timer in one.
CREATE TABLE pending_commands (
    order_id        uuid   NOT NULL PRIMARY KEY,
    kind            text   NOT NULL CHECK (kind IN ('ReserveStock', 'ReleaseStock', 'ShipStock')),
    attempt         bigint NOT NULL CHECK (attempt >= 1),
    since           bigint NOT NULL,
    sent_at         bigint NOT NULL,
    next_attempt_at bigint NOT NULL,
    traceparent     text
);

CREATE INDEX pending_commands_by_next_attempt ON pending_commands (next_attempt_at);
CREATE INDEX pending_commands_by_since ON pending_commands (since);

CREATE TABLE quarantine (
    key      bytea  NOT NULL PRIMARY KEY,
    subject  text,
    kind     text   NOT NULL,
    reason   text   NOT NULL,
    bytes    bytea  NOT NULL,
    length   bigint NOT NULL,
    count    bigint NOT NULL CHECK (count >= 1),
    first_at bigint NOT NULL,
    last_at  bigint NOT NULL
);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% of % is forbidden', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER a_history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_history EXECUTE FUNCTION refuse();
CREATE TRIGGER lines_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON order_lines EXECUTE FUNCTION refuse();
CREATE TRIGGER keys_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON idempotency_keys EXECUTE FUNCTION refuse();
CREATE TRIGGER orders_stay BEFORE DELETE OR TRUNCATE ON orders EXECUTE FUNCTION refuse();

CREATE FUNCTION a_history_has_no_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE added.seq > 1 AND NOT EXISTS
                   (SELECT FROM order_history AS earlier
                    WHERE earlier.order_id = added.order_id AND earlier.seq = added.seq - 1)) THEN
        RAISE EXCEPTION 'a history has no gap' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER a_history_has_no_gap AFTER INSERT ON order_history
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION a_history_has_no_gap();
