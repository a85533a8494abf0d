-- The audit reads what is held at one place page by page, by order id (INV-3).
CREATE INDEX allocations_by_place_and_order ON allocations (product_id, location_id, order_id);
DROP INDEX allocations_by_place;
