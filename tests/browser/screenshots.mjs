// Makes the pictures of the documentation: node screenshots.mjs FOLDER
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { client, closeBrowser, forge, open, openBrowser, start, startDemo } from './harness.mjs';

const folder = process.argv[2];
assert.ok(folder, 'name a folder');
const CROWD_S = 55;
const CUSTOMERS = ['ana.souza', 'b.almeida', 'carla-m', 'd.ferreira', 'elisa', 'f.gomes', 'padaria-sol', 'cafe-central'];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Orders come in waves, as they do in a shop, and now and then one is too large.
async function crowd(api) {
    const { data } = await api.get('api/inventory/products?limit=200');
    const ids = data.map((its) => its.product_id);
    const end = Date.now() + CROWD_S * 1000;
    for (let n = 0; Date.now() < end; n += 1) {
        const wave = 3.5 + 3 * Math.sin(n / 19) + 1.5 * Math.sin(n / 4.3);
        const quantity = n % 23 === 22 ? 4000 : 1 + n % 2;
        await api.order([[ids[n % ids.length], quantity], [ids[(n * 5 + 3) % ids.length], 1, 34.5]], CUSTOMERS[n % CUSTOMERS.length]);
        await sleep(1000 / Math.max(1.2, wave));
    }
}

// An order that is paid, shipped in parts, and partly returned: what shops see every day.
async function changedOrder(api) {
    const lines = [['789', 3], ['mug-white', 4, 14.5], ['filter-2', 2, 6.9]];
    const { order_id: id } = await api.order(lines, 'ana.souza', { payment: { within_s: 86_400 } });
    const steps = [
        [3100, 'pay', { reference: 'ch_3Nk28L' }],
        [2300, 'cancellations', { lines: [{ product_id: 'mug-white', quantity: 1 }], reason: 'three are enough' }],
        [1900, 'refunds', { reference: 're_1Nis84', amount: 14.5 }],
        [2700, 'shipments', {
            lines: [{ product_id: '789', quantity: 3 }, { product_id: 'mug-white', quantity: 2 }],
            tracking: { carrier: 'Correios', number: 'BR123456789BR', url: 'https://example.org/BR123456789BR' },
        }],
        [2100, 'returns', {
            lines: [{ product_id: '789', quantity: 1, disposition: 'restock' }, { product_id: 'mug-white', quantity: 1, disposition: 'quarantine' }],
            reason: 'the box was open',
        }],
        [1600, 'shipments', { lines: [{ product_id: 'filter-2', quantity: 2 }] }],
    ];
    for (const [pause, path, body] of steps) {
        await sleep(pause);
        await api.change(id, path, body);
    }
    return id;
}

async function shoot(url, name, options, prepare = async () => {}) {
    const its = await open(url, { width: 1280, height: 860, scale: 1.5, ...options });
    await its.page.locator('.skeleton').first().waitFor({ state: 'detached' });
    await prepare(its.page);
    await its.check();
    await its.page.screenshot({ path: join(folder, `${name}.png`) });
    await its.context.close();
}

await openBrowser();
const demo = await startDemo();
const channel = `pictures${process.pid}`;
const broker = process.env.LASTRO_TEST_NATS_URL;
const shop = await start([], { LASTRO_BUS_URL: `${broker}?channel=${channel}` });
try {
    const api = client(demo.url);
    for (const [id, name, low] of [['scale', 'Scale with timer', 40], ['beans-2', 'Beans, Cerrado, 1 kg', 45], ['grinder', 'Hand grinder', 60]]) {
        await api.put(`api/inventory/products/${id}`, { name, low_stock_at: low });
    }
    await api.post('api/inventory/products/789/movements', { kind: 'adjust', quantity: -3, reason: 'torn bags' });
    const opened = open(demo.url, { width: 1280, height: 860, scale: 1.5 });
    const phone = open(demo.url, { width: 390, height: 844, scale: 2, language: 'pt-BR' });
    const [overview, small] = await Promise.all([opened, phone]);
    await overview.page.getByRole('button', { name: '1 min' }).click();
    await small.page.getByRole('button', { name: '1 min' }).click();
    await crowd(api);
    for (const [its, name] of [[overview, 'overview'], [small, 'phone']]) {
        await its.page.screenshot({ path: join(folder, `${name}.png`) });
        await its.close();
    }
    const { order_id: id } = await api.order([['789', 2], ['456', 1, 29.99], ['mug-white', 4, 14.5]], 'cafe-central');
    await sleep(8000);
    await api.post(`api/orders/${id}/fulfill`, {}, { prefer: 'wait=10' });
    await shoot(demo.url, 'order', { hash: `#/orders/${id}` }, (page) => page.getByText('Stock shipped').waitFor());
    const changed = await changedOrder(api);
    await shoot(demo.url, 'order-changes', { hash: `#/orders/${changed}`, height: 1240 }, (page) => page.getByText('Refund recorded').waitFor());
    await shoot(demo.url, 'product', { hash: '#/stock/789', theme: 'dark' });
    const csv = 'product_id,name,quantity,location_id\n789,,140,main\n456,,90,main\nmug-white,,x12,main\nkettle,,60,store\n'
        + 'tin,,-4,main\nteapot,"Teapot, 0.8 l",24,main\nscale,,15,attic\n';
    await shoot(demo.url, 'import', { hash: '#/import' }, async (page) => {
        await page.locator('input[type=file]').setInputFiles({ name: 'stocktaking.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
        await page.getByText('Nothing has changed yet.').waitFor();
        await page.getByLabel('Reason').fill('stocktaking in November');
    });
    const other = client(shop.url);
    await other.stock('mug', 'Blue mug', 50);
    await forge(broker, `${channel}.orders.answers`, '[{"schema":2,"order_id":"01a2', () => other.order([['mug', 1]]));
    await forge(broker, `${channel}.inventory.commands`, 'ping', () => other.order([['mug', 1]]));
    await sleep(12_000);
    await shoot(shop.url, 'trouble', { hash: '#/trouble' }, (page) => page.getByText('Unreadable').first().waitFor());
} finally {
    await Promise.all([demo.stop(), shop.stop(), closeBrowser()]);
}
