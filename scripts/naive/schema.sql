-- A simple schema for comparison: the same rows as Lastro's, with one transaction per step. For
-- scripts/bench-production.
CREATE TABLE orders (order_id uuid PRIMARY KEY, customer_id text NOT NULL, status text NOT NULL, total_minor bigint NOT NULL,
                     created_at bigint NOT NULL, updated_at bigint NOT NULL);
CREATE INDEX ON orders (customer_id, order_id);
CREATE INDEX ON orders (status, order_id);
CREATE TABLE order_lines (order_id uuid, line_no bigint, product_id text NOT NULL, quantity bigint NOT NULL,
                          price_minor bigint NOT NULL, PRIMARY KEY (order_id, line_no));
CREATE TABLE order_history (order_id uuid, seq bigint, status text NOT NULL, at bigint NOT NULL, PRIMARY KEY (order_id, seq));
CREATE TABLE pending_commands (order_id uuid PRIMARY KEY, kind text NOT NULL, next_attempt_at bigint NOT NULL);
CREATE INDEX ON pending_commands (next_attempt_at);
CREATE TABLE stock (product_id text PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL, last_seq bigint NOT NULL,
                    CHECK (0 <= reserved AND reserved <= on_hand));
CREATE TABLE movements (product_id text, seq bigint, order_id uuid NOT NULL, reserved_delta bigint NOT NULL, on_hand bigint NOT NULL,
                        reserved bigint NOT NULL, created_at bigint NOT NULL, PRIMARY KEY (product_id, seq));
CREATE TABLE reservations (order_id uuid PRIMARY KEY, state text NOT NULL, created_at bigint NOT NULL);
CREATE TABLE allocations (order_id uuid, product_id text, quantity bigint NOT NULL, PRIMARY KEY (order_id, product_id));
INSERT INTO stock SELECT 'product-' || n, 1000000, 0, 1 FROM generate_series(1, 1000) AS n;
