"""Places the order of the README with a client that openapi-python-client has generated.

    PYTHONPATH=… python example_order.py http://127.0.0.1:8080 lsk_…
"""

import sys

from lastro_client import AuthenticatedClient
from lastro_client.api.inventory import get_product, move_stock, put_product
from lastro_client.api.orders import get_order, list_orders, place_order
from lastro_client.models import (
    ListOrdersStatus,
    NewOrder,
    NewOrderLine,
    NewProduct,
    NewReceipt,
    NewReceiptKind,
    Order,
    Problem,
)

# An answer that the description does not have raises.
url, key = sys.argv[1:]
client = AuthenticatedClient(url, token=key, raise_on_unexpected_status=True)

put_product.sync("789", client=client, body=NewProduct(name="Blue mug", low_stock_at=2))
receipt = NewReceipt(kind=NewReceiptKind.RECEIVE, quantity=10, reference="PO-7")
moved = move_stock.sync("789", client=client, body=receipt, idempotency_key="PO-7")
assert (moved.on_hand, moved.kind) == (10, "receive"), moved

order = NewOrder(
    customer_id="123456",
    products=[NewOrderLine(product_id="789", quantity=2, price=19.99)],
)
placed = place_order.sync(client=client, body=order, prefer="wait=5", idempotency_key="cart-1")
assert placed.status == "confirmed", placed
again = place_order.sync_detailed(client=client, body=order, idempotency_key="cart-1")
assert again.parsed.order_id == placed.order_id, again
assert again.headers["Idempotent-Replayed"] == "true", again

read = get_order.sync(str(placed.order_id), client=client)
assert isinstance(read, Order) and read.total == 39.98, read
listed = list_orders.sync(client=client, status=ListOrdersStatus.CONFIRMED, customer_id="123456")
assert [one.order_id for one in listed.data] == [placed.order_id], listed
stock = get_product.sync("789", client=client)
assert (stock.on_hand, stock.reserved, stock.available) == (10, 2, 8), stock

order.products[0].quantity = 0
refused = place_order.sync(client=client, body=order)
assert isinstance(refused, Problem) and refused.errors[0].pointer == "/products/0/quantity", refused
print(f"order {placed.order_id} is {read.status}, total {read.currency} {read.total}")
