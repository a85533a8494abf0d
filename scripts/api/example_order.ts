// Places the order of the README with a client that @hey-api/openapi-ts has generated.
import { client } from "./client/client.gen";
import { getOrder, moveStock, placeOrder, putProduct } from "./client/sdk.gen";

declare const process: { argv: string[] };

const [, , baseUrl, auth] = process.argv;
client.setConfig({ baseUrl, auth, throwOnError: true });

await putProduct({ path: { product_id: "790" }, body: { name: "Red mug" } });
await moveStock({ path: { product_id: "790" }, body: { kind: "receive", quantity: 10 } });
const placed = await placeOrder({
    headers: { Prefer: "wait=5" },
    body: { customer_id: "123456", products: [{ product_id: "790", quantity: 2, price: 19.99 }] },
});
const order_id = placed.data?.order_id ?? "";
const order = await getOrder({ path: { order_id } });
if (order.data?.status !== "confirmed") throw new Error(JSON.stringify(order.data));
console.log(`order ${order_id} is ${order.data.status}, total ${order.data.currency} ${order.data.total}`);
