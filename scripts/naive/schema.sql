-- A simple schema for comparison: the tables, columns and indexes that an order of Lastro's passes
-- through on PostgreSQL, in one database. For `lastro bench --suite --row pgbench`.
CREATE TYPE order_status AS ENUM ('confirmed', 'rejected', 'cancelling', 'cancelled', 'fulfilling', 'fulfilled');
CREATE TYPE movement_kind AS ENUM ('receive', 'adjust', 'count', 'reserve', 'release', 'ship');

CREATE TABLE orders (order_id uuid NOT NULL PRIMARY KEY, customer_id text NOT NULL COLLATE "C", currency text NOT NULL,
                     total_minor bigint NOT NULL CHECK (total_minor BETWEEN 0 AND 9007199254740991),
                     digest uuid NOT NULL, lines json NOT NULL CHECK (json_array_length(lines) BETWEEN 1 AND 100),
                     created_at bigint NOT NULL);
CREATE INDEX ON orders (customer_id, order_id);
CREATE TABLE order_states (order_id uuid NOT NULL PRIMARY KEY, status order_status NOT NULL, revision bigint NOT NULL,
                           settled bigint NOT NULL, last_seq bigint NOT NULL CHECK (last_seq >= 2), digest uuid,
                           updated_at bigint NOT NULL,
                           history json NOT NULL CHECK (json_array_length(history) = last_seq - 1)) WITH (fillfactor = 85);
CREATE INDEX ON order_states (status, order_id);
CREATE TABLE pending_commands (order_id uuid NOT NULL PRIMARY KEY, revision bigint NOT NULL, attempt bigint NOT NULL,
                               since bigint NOT NULL, sent_at bigint NOT NULL, next_attempt_at bigint NOT NULL,
                               traceparent text);
CREATE INDEX ON pending_commands (next_attempt_at);

CREATE TABLE stock (on_hand bigint NOT NULL, reserved bigint NOT NULL, last_seq bigint NOT NULL, last_movement bigint NOT NULL,
                    product_no integer NOT NULL, location_no integer NOT NULL, PRIMARY KEY (product_no, location_no),
                    CHECK (0 <= reserved AND reserved <= on_hand)) WITH (fillfactor = 50);
CREATE TABLE movements (movement_no bigint NOT NULL PRIMARY KEY, previous bigint, previous_of_product bigint,
                        seq bigint NOT NULL, on_hand_delta bigint NOT NULL, reserved_delta bigint NOT NULL,
                        on_hand bigint NOT NULL, reserved bigint NOT NULL, created_at bigint NOT NULL,
                        product_no integer NOT NULL, location_no integer NOT NULL, kind movement_kind NOT NULL,
                        order_id uuid, request_id uuid, CHECK (0 <= reserved AND reserved <= on_hand));
CREATE UNIQUE INDEX ON movements (request_id) WHERE request_id IS NOT NULL;
CREATE SEQUENCE movement_numbers START 1001;
CREATE TABLE reservations (order_id uuid NOT NULL PRIMARY KEY, digest uuid NOT NULL, created_at bigint NOT NULL,
                           updated_at bigint NOT NULL, revision bigint NOT NULL, allocations json NOT NULL,
                           shortages json) WITH (fillfactor = 90);

INSERT INTO stock SELECT 1000000, 0, 1, n, n, 1 FROM generate_series(1, 1000) AS n;
