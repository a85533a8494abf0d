// The dashboard when something is cut off, late, stopped or too much.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { client, closeBrowser, eventually, forge, line, open, openBrowser, start } from './harness.mjs';

const BROKER = process.env.LASTRO_TEST_NATS_URL;
assert.ok(BROKER, 'run scripts/browser, or scripts/with-servers node --test');
const isLive = (page) => page.locator('.live.live:visible').waitFor();
const POLLS = '.live.polling:visible';

before(openBrowser);
after(closeBrowser);

describe('a shop', () => {
    let shop;
    let api;
    before(async () => {
        shop = await start([]);
        api = client(shop.url);
        await api.stock('mug', 'Blue mug', 40);
        await api.stock('tee', 'Green tee', 1000);
    });
    after(() => shop.stop());

    test('an import that was cut off continues as the same import, and counts no row twice', async () => {
        const its = await open(shop.url, { hash: '#/import' });
        const { page } = its;
        const keys = [];
        let ending = 'cut';
        await page.route(/import\?.*dry_run=false/, async (route) => {
            keys.push(route.request().headers()['idempotency-key']);
            if (ending === 'whole') return route.continue();
            const answer = await route.fetch();
            const kept = (await answer.text()).split('\n').slice(0, 1);
            if (ending === 'stopped') kept.push(JSON.stringify({ done: false, problem: { code: 'shutting_down', status: 503 } }));
            return route.fulfill({ response: answer, body: `${kept.join('\n')}\n` });
        });
        const csv = 'product_id,name,quantity\nmug,Blue mug,50\nspoon,Spoon,12\n';
        const choose = () => page.locator('input[type=file]').setInputFiles({ name: 'stock.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
        await choose();
        await page.getByLabel('Reason').fill('stocktaking');
        await page.getByRole('button', { name: 'Import 2 rows' }).click();
        await page.getByText('Interrupted: 1 row was answered').waitFor();
        assert.equal(await page.getByText('Nothing has changed yet').count(), 0);
        await its.check();
        // The counted stock moves on, so a second count would be wrong.
        await api.post('api/inventory/products/mug/movements', { kind: 'receive', quantity: 5 });
        ending = 'stopped';
        await page.getByRole('button', { name: 'Continue' }).click();
        await page.getByText('The service is restarting').waitFor();
        // Leaving would lose the import.
        const asked = [];
        page.on('dialog', (dialog) => { asked.push(dialog.type()); return dialog.dismiss(); });
        await page.getByRole('link', { name: 'Overview' }).first().click();
        await eventually('the reader is asked', () => asked.length === 1);
        await page.getByRole('button', { name: 'Another file' }).click();
        await page.evaluate(() => location.reload());
        await eventually('the reader is asked each time', () => asked.length === 3);
        assert.deepEqual(asked, ['confirm', 'confirm', 'beforeunload']);
        assert.ok(page.url().endsWith('#/import'), page.url());
        ending = 'whole';
        await page.getByRole('button', { name: 'Continue' }).click();
        await page.getByText('Done: 0 rows changed the stock.').waitFor();
        assert.equal(await page.locator('[data-count="replayed"]').textContent(), '2');
        assert.deepEqual(keys, [keys[0], keys[0], keys[0]]);
        assert.equal((await api.get('api/inventory/products/mug')).on_hand, 55);
        assert.equal((await api.get('api/inventory/products/spoon')).on_hand, 12);
        // It is finished, so nobody is asked any more.
        await page.getByRole('link', { name: 'Overview' }).first().click();
        await page.getByRole('heading', { name: 'Overview' }).waitFor();
        assert.equal(asked.length, 3);
        await its.close();
    });

    test('an import that is refused shows its preview again', async () => {
        const its = await open(shop.url, { hash: '#/import', expected: [403] });
        const { page } = its;
        await page.route(/import\?.*dry_run=false/, (route) => route.fulfill({
            status: 403, contentType: 'application/problem+json', body: '{"code":"forbidden","status":403}',
        }));
        await page.locator('input[type=file]').setInputFiles({
            name: 'stock.csv', mimeType: 'text/csv', buffer: Buffer.from('product_id,quantity\ntee,900\n'),
        });
        await page.getByLabel('Reason').fill('stocktaking');
        await page.getByRole('button', { name: 'Import 1 row' }).click();
        await page.getByText('Your key does not allow this').waitFor();
        await page.getByText('1 row checked. Nothing has changed yet.').waitFor();
        await page.getByRole('button', { name: 'Import 1 row' }).waitFor();
        await its.close();
    });

    test('the books are balanced only if every auditor has checked and still runs', async () => {
        const audit = await eventually('a step is over', async () => {
            const its = await api.get('api/inventory/audit');
            return its.last_step_at && its;
        });
        const found = { ...audit.invariants[0], violations: 2 };
        const long = new Date(Date.now() - 3_600_000).toISOString();
        const cases = [
            [{}, 'Balanced', null],
            [{ running: false }, 'Unchecked', 'An auditor has stopped'],
            [{ last_step_at: long }, 'Unchecked', 'An auditor has stopped'],
            [{ last_step_at: null }, 'Unchecked', null],
            [{ failing: true }, 'Unchecked', 'The audit cannot read a database'],
            [{ invariants: [found] }, 'Off balance', '2 invariant violations'],
            [403, 'Unchecked', null],
            [503, 'Unchecked', null],
        ];
        for (const [change, word, trouble] of cases) {
            const answer = typeof change === 'number'
                ? { status: change, contentType: 'application/problem+json', body: JSON.stringify({ code: 'overloaded', status: change }) }
                : { json: { ...audit, last_step_at: new Date().toISOString(), ...change } };
            const its = await open(shop.url, {
                expected: [403, 503],
                prepare: (page) => page.route('**/api/inventory/audit', (route) => route.fulfill(answer)),
            });
            const tile = its.page.locator('.tile', { hasText: 'The books' });
            await tile.getByText(word, { exact: true }).waitFor();
            if (trouble) await its.page.locator('.attention').getByText(trouble).waitFor();
            else assert.equal(await its.page.locator('.attention').count(), 0, JSON.stringify(change));
            await its.close();
        }
    });

    test('a movement whose outcome is unknown is never sent as another request', async () => {
        const its = await open(shop.url, { hash: '#/stock/tee', expected: [422, 'ERR_'] });
        const { page } = its;
        const keys = [];
        let isCut = true;
        await page.route('**/products/tee/movements', async (route) => {
            if (route.request().method() !== 'POST') return route.continue();
            keys.push(route.request().headers()['idempotency-key']);
            if (!isCut) return route.continue();
            await route.fetch();
            return route.abort('connectionreset');
        });
        const { on_hand: before } = await api.get('api/inventory/products/tee');
        await page.getByRole('button', { name: 'Receive' }).click();
        const dialog = page.getByRole('dialog');
        const submit = dialog.locator('button[type=submit]');
        await dialog.getByLabel('Units').fill('10');
        await submit.click();
        await dialog.getByText('The service does not answer').waitFor();
        isCut = false;
        await dialog.getByLabel('Units').fill('11');
        await submit.click();
        await dialog.getByText('Close the form, see whether it did').waitFor();
        assert.equal(await submit.getAttribute('aria-disabled'), 'true');
        await dialog.getByLabel('Units').press('Enter');
        await its.check();
        assert.deepEqual(keys, [keys[0], keys[0]]);
        assert.equal((await api.get('api/inventory/products/tee')).on_hand, before + 10);
        await its.close();
    });

    test('the chart of stock goes forward also if the clocks of replicas differ', async () => {
        const its = await open(shop.url);
        const lists = await its.page.evaluate(async () => {
            const app = document.querySelector('script[type=module]').src;
            const { levels } = await import(new URL('pages/product.js', app));
            const entry = (second, onHand) => ({
                location_id: 'main', on_hand: onHand, on_hand_delta: 1, reserved: 0, reserved_delta: 0,
                created_at: new Date(1_700_000_000_000 + second * 1000).toISOString(),
            });
            const product = { locations: [{ location_id: 'main', on_hand: 4, reserved: 0 }] };
            return levels([entry(9, 4), entry(7, 3), entry(8, 2), entry(1, 1)], product, '');
        });
        assert.deepEqual(lists[0].map((second) => second - 1_700_000_000), [1, 8, 9]);
        assert.deepEqual(lists[1], [1, 3, 4]);
        await its.close();
    });

    test('four windows of one reader all show what changes, and two of them have streams', async () => {
        const first = await open(shop.url, { hash: '#/stock/tee' });
        await isLive(first.page);
        const windows = [first];
        for (let n = 1; n < 4; n += 1) windows.push(await open(shop.url, { hash: '#/stock/tee', beside: first }));
        const states = async () => Promise.all(windows.map(({ page }) => page.locator(POLLS).count()));
        await eventually('two ask', async () => (await states()).join() === '0,0,1,1');
        const level = (its) => its.page.locator('[data-level="on-hand"]').textContent();
        const show = async (n) => eventually(`all show ${n}`, async () =>
            (await Promise.all(windows.map(level))).every((text) => text === n.toLocaleString('en')));
        const { on_hand: before } = await api.get('api/inventory/products/tee');
        await api.post('api/inventory/products/tee/movements', { kind: 'receive', quantity: 3 });
        await show(before + 3);
        // A window takes the place of one that is closed.
        await windows.splice(1, 1)[0].close();
        await eventually('one asks', async () => (await states()).reduce((sum, n) => sum + n) === 1);
        await api.post('api/inventory/products/tee/movements', { kind: 'receive', quantity: 4 });
        await show(before + 7);
        for (const its of windows.reverse()) await its.close();
    });

    test('a window without streams counts the orders of which the others tell it', async () => {
        const first = await open(shop.url);
        const windows = [first];
        for (let n = 1; n < 3; n += 1) windows.push(await open(shop.url, { beside: first }));
        await windows[2].page.locator(POLLS).waitFor();
        const rate = windows[2].page.locator('.tile', { hasText: 'Orders per second' }).locator('.tile-value');
        await eventually('orders are counted', async () => {
            await api.order([['tee', 1]]);
            return Number(await rate.textContent()) > 0;
        });
        for (const its of windows.reverse()) await its.close();
    });

    test('a page shows at most four frames a second, however many orders flow', async () => {
        const its = await open(shop.url);
        const { page } = its;
        await isLive(page);
        await page.evaluate(() => {
            globalThis.frames_ = [];
            addEventListener('lastro:frame', () => globalThis.frames_.push(performance.now()));
            performance.clearResourceTimings();
        });
        const end = Date.now() + 2500;
        let orders = 0;
        await Promise.all(Array.from({ length: 8 }, async () => {
            while (Date.now() < end) {
                await api.order([['tee', 1]]);
                orders += 1;
            }
        }));
        const { frames, asked } = await page.evaluate(() => ({
            frames: globalThis.frames_,
            asked: performance.getEntriesByType('resource').filter((one) => one.name.includes('api/orders?') && one.name.includes('limit=8'))
                .map((one) => one.startTime),
        }));
        assert.ok(orders > 20, `${orders} orders`);
        assert.ok(frames.length >= 4, `${frames.length} frames`);
        // A timer may be early by a fraction of a millisecond.
        frames.slice(1).forEach((at, before) => assert.ok(at - frames[before] > 245, `${at - frames[before]} ms between two frames`));
        asked.slice(1).forEach((at, before) => assert.ok(at - asked[before] > 990, `${at - asked[before]} ms between two requests`));
        await its.close();
    });
});

// The page calls a command late after half a minute, and the tests at once.
const hurry = (page) => page.route('**/api/orders/pending?older_than_s=30*', (route) =>
    route.continue({ url: route.request().url().replace('older_than_s=30&', '') }));

test('a command that waits is sent again from the page, also that of a message in quarantine', async () => {
    const channel = `waiting${process.pid}`;
    const broken = await line(BROKER);
    const shop = await start([], { LASTRO_BUS_URL: `${broken.url}?channel=${channel}` });
    try {
        const api = client(shop.url);
        await api.stock('mug', 'Blue mug', 5);
        await api.order([['mug', 1]]);
        broken.close();
        const { order_id: id } = await api.post('api/orders', { customer_id: 'ana', products: [{ product_id: 'mug', quantity: 1, price: 1 }] });
        await eventually('the command waits', async () => (await api.get('api/orders/pending')).total === 1);
        const entry = {
            id: 'a'.repeat(64), kind: 'anomaly', order_id: id, reason: 'StockAllocated: odd', length: 2, count: 2,
            first_at: new Date().toISOString(), last_at: new Date().toISOString(),
        };
        const sent = [];
        const its = await open(shop.url, {
            hash: '#/trouble',
            expected: [503],
            prepare: async (page) => {
                await hurry(page);
                await page.route(/\/api\/(orders|inventory)\/quarantine/, (route) => {
                    const isList = route.request().url().includes('?');
                    if (route.request().method() === 'POST') return route.fulfill({ status: 202, json: { order_id: id } });
                    return route.fulfill({ json: isList ? { data: [entry], next_cursor: null } : { ...entry, message: '{}', truncated: false } });
                });
                page.on('request', (request) => request.method() === 'POST' && sent.push(new URL(request.url()).pathname));
            },
        });
        const { page } = its;
        const pending = page.getByRole('region', { name: /wait/i }).first();
        await pending.getByRole('button', { name: 'Send now' }).click();
        await page.getByText('The command is sent again').first().waitFor();
        await its.check();
        for (const service of ['Order Service', 'Inventory Service']) {
            await page.getByRole('group', { name: 'Service' }).getByRole('button', { name: service }).click();
            await page.getByRole('button', { name: 'Look' }).click();
            const count = sent.length;
            await page.getByRole('dialog').getByRole('button', { name: 'Send now' }).click();
            await eventually('it is sent', () => sent.length > count);
            await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
        }
        assert.deepEqual(sent, [
            `/api/orders/pending/${id}/retry`, `/api/orders/quarantine/${entry.id}/retry`, `/api/orders/pending/${id}/retry`,
        ]);
        broken.open();
        await page.getByText('No command waits').first().waitFor();
        await its.close();
    } finally {
        broken.open();
        await shop.stop();
        broken.stop();
    }
});

test('the page of troubles shows what the Inventory Service set aside', async () => {
    const channel = `aside${process.pid}`;
    const shop = await start([], { LASTRO_BUS_URL: `${BROKER}?channel=${channel}` });
    try {
        const api = client(shop.url);
        await api.stock('mug', 'Blue mug', 5);
        await forge(BROKER, `${channel}.inventory.commands`, 'not a command', () => api.order([['mug', 1]]));
        await eventually('the message is set aside', async () => (await api.get('api/inventory/quarantine')).data.length > 0);
        const its = await open(shop.url, { hash: '#/trouble' });
        const { page } = its;
        await page.getByText('The quarantine is empty').waitFor();
        await page.getByRole('group', { name: 'Service' }).getByRole('button', { name: 'Inventory Service' }).click();
        await page.getByRole('button', { name: 'Look' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByText('not a command').waitFor();
        assert.equal(await dialog.getByRole('button', { name: 'Send now' }).count(), 0, 'it names no order');
        await its.check();
        await dialog.getByRole('button', { name: 'Discard' }).click();
        await page.getByRole('dialog', { name: 'Discard this message?' }).getByRole('button', { name: 'Discard' }).click();
        await page.getByText('The quarantine is empty').waitFor();
        assert.equal((await api.get('api/inventory/quarantine?seen=true')).data.length, 1);
        await its.close();
    } finally {
        await shop.stop();
    }
});
