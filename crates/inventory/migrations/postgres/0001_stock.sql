-- Times are microseconds since the epoch. Ids sort by their bytes, whatever the language of the database.
-- No foreign keys into the ledger and the reservations: each row would be looked up again, and one transaction writes
-- them all; `lastro verify` holds them against each other.

CREATE TABLE products (
    product_id   text   NOT NULL COLLATE "C" PRIMARY KEY,
    name         text   NOT NULL,
    -- The name in lower case, as the program understands that.
    search_name  text   NOT NULL,
    low_stock_at bigint CHECK (low_stock_at >= 0),
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL
);

CREATE TABLE locations (
    location_id text   NOT NULL COLLATE "C" PRIMARY KEY,
    name        text   NOT NULL,
    priority    bigint NOT NULL CHECK (priority BETWEEN 0 AND 1000000)
);

INSERT INTO locations (location_id, name, priority) VALUES ('main', 'Main', 0);

-- INV-1: the database itself refuses to oversell.
CREATE TABLE stock (
    product_id  text   NOT NULL COLLATE "C" REFERENCES products (product_id),
    location_id text   NOT NULL COLLATE "C" REFERENCES locations (location_id),
    on_hand     bigint NOT NULL CHECK (on_hand <= 1000000000000),
    reserved    bigint NOT NULL,
    last_seq    bigint NOT NULL CHECK (last_seq >= 1),
    PRIMARY KEY (product_id, location_id),
    CHECK (0 <= reserved AND reserved <= on_hand)
) WITH (fillfactor = 50);

-- INV-2: append-only, and without gaps from 1.
CREATE TABLE movements (
    product_id     text   NOT NULL COLLATE "C",
    location_id    text   NOT NULL COLLATE "C",
    seq            bigint NOT NULL CHECK (seq >= 1),
    kind           text   NOT NULL CHECK (kind IN ('receive', 'adjust', 'count', 'reserve', 'release', 'ship')),
    on_hand_delta  bigint NOT NULL,
    reserved_delta bigint NOT NULL,
    on_hand        bigint NOT NULL,
    reserved       bigint NOT NULL,
    order_id       uuid,
    request_id     bytea  CHECK (length(request_id) = 16),
    request_digest bytea  CHECK (length(request_digest) = 16),
    reason         text,
    reference      text,
    actor          text,
    created_at     bigint NOT NULL,
    PRIMARY KEY (product_id, location_id, seq),
    CHECK (0 <= reserved AND reserved <= on_hand),
    CHECK ((kind IN ('reserve', 'release', 'ship')) = (order_id IS NOT NULL)),
    CHECK ((order_id IS NULL) = (request_id IS NOT NULL)),
    CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

-- R4: a request moves stock once.
CREATE UNIQUE INDEX movements_by_request ON movements (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX movements_by_time ON movements (product_id, created_at, location_id, seq);

-- R12: also the memory of what was answered. What a rejection was short of stays after a release (INV-8).
CREATE TABLE reservations (
    order_id   uuid   NOT NULL PRIMARY KEY,
    state      text   NOT NULL CHECK (state IN ('reserved', 'rejected', 'released', 'shipped')),
    digest     bytea  NOT NULL CHECK (length(digest) = 16),
    shortages  text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CHECK (state <> 'rejected' OR shortages IS NOT NULL)
) WITH (fillfactor = 50);

-- Never changed: what is held follows from the reservation's state (INV-3).
CREATE TABLE allocations (
    order_id    uuid   NOT NULL,
    product_id  text   NOT NULL COLLATE "C",
    location_id text   NOT NULL COLLATE "C",
    quantity    bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    PRIMARY KEY (order_id, product_id, location_id)
);

CREATE INDEX allocations_by_place ON allocations (product_id, location_id);

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

CREATE TRIGGER a_ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements EXECUTE FUNCTION refuse();
CREATE TRIGGER allocations_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON allocations EXECUTE FUNCTION refuse();
CREATE TRIGGER stock_stays BEFORE DELETE OR TRUNCATE ON stock EXECUTE FUNCTION refuse();
CREATE TRIGGER products_stay BEFORE DELETE OR TRUNCATE ON products EXECUTE FUNCTION refuse();
CREATE TRIGGER locations_stay BEFORE DELETE OR TRUNCATE ON locations EXECUTE FUNCTION refuse();
CREATE TRIGGER reservations_stay BEFORE DELETE OR TRUNCATE ON reservations EXECUTE FUNCTION refuse();

CREATE FUNCTION a_ledger_has_no_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE added.seq > 1 AND NOT EXISTS
                   (SELECT FROM movements AS earlier WHERE earlier.product_id = added.product_id
                        AND earlier.location_id = added.location_id AND earlier.seq = added.seq - 1)) THEN
        RAISE EXCEPTION 'a ledger has no gap' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER a_ledger_has_no_gap AFTER INSERT ON movements
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION a_ledger_has_no_gap();
