// The dashboard in a browser, on programs that the tests start.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { client, closeBrowser, eventually, forge, gateway, open, openBrowser, picture, runToEnd, start, startDemo } from './harness.mjs';

const isLive = (page) => page.locator('.live.live:visible').waitFor();

before(openBrowser);
after(closeBrowser);

describe('the demo', () => {
    let demo;
    before(async () => { demo = await startDemo(); });
    after(() => demo.stop());

    test('its page shows the example order confirmed, and what happens, live', async () => {
        const its = await open(demo.url);
        const { page } = its;
        await isLive(page);
        const rate = page.locator('.tile', { hasText: 'Orders per second' }).locator('.tile-value');
        await eventually('orders are counted', async () => Number(await rate.textContent()) > 0.5);
        await page.getByText('Balanced').waitFor();
        await its.check();
        await page.goto(`${demo.url}#/orders?customer=123456&status=confirmed`);
        const row = page.getByRole('row').filter({ hasText: '69.97' });
        await row.getByText('Confirmed').waitFor();
        await its.check();
        await row.getByRole('link').first().click();
        await page.getByText('Coffee, ground, 500 g').first().waitFor();
        await page.getByText('Stock reserved').waitFor();
        await its.close();
    });

    test('test orders can be placed, and a rejected one says which product was short', async () => {
        const its = await open(demo.url, { hash: '#/orders' });
        const { page } = its;
        await page.getByRole('button', { name: 'Place a test order' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Product').selectOption('456');
        await dialog.getByLabel('Quantity').fill('90000');
        await its.check();
        await dialog.getByRole('button', { name: 'Place order' }).click();
        await page.getByText('Rejected: there was not enough stock').waitFor();
        await page.getByRole('note').getByText(/Moka pot, 3 cups \(456\): 90,000 requested, \d+ available/).waitFor();
        await page.goto(`${demo.url}#/orders`);
        await page.getByRole('button', { name: 'Place a test order' }).click();
        await dialog.getByLabel('Product').selectOption('filter-2');
        await dialog.getByLabel('Payment').selectOption({ label: 'due within 15 min' });
        await dialog.getByRole('button', { name: 'Place order' }).click();
        await page.locator('.title').getByText('Payment due').waitFor();
        await its.close();
    });

    test('a hidden page closes its streams, and is up to date when it is shown again', async () => {
        const its = await open(demo.url, { hash: '#/orders' });
        const { page } = its;
        await isLive(page);
        const show = (state) => page.evaluate((value) => {
            Object.defineProperty(document, 'visibilityState', { value, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        }, state);
        const newest = () => page.locator('tbody tr').first().getByRole('link').first().getAttribute('href');
        // Right after a frame, what it changed is about to be asked for: within a second.
        await page.evaluate(() => new Promise((resolve) => { addEventListener('lastro:frame', resolve, { once: true }); }));
        await show('hidden');
        const since = await page.evaluate(() => performance.now());
        await page.locator('.live.paused:visible').waitFor();
        // A request that began before may still be answered.
        await page.waitForLoadState('networkidle');
        const seen = await newest();
        const orders = client(demo.url);
        const { data: [before] } = await orders.get('api/orders?limit=1');
        await eventually('more orders come, for longer than a second', async () => {
            const { data: [latest] } = await orders.get('api/orders?limit=1');
            return Date.parse(latest.created_at) > Date.parse(before.created_at) + 1000;
        });
        const begun = await page.evaluate((from) => performance.getEntriesByType('resource')
            .filter((one) => one.startTime >= from).map((one) => one.name), since);
        assert.deepEqual(begun, [], 'nothing is asked for while nobody looks');
        await show('visible');
        await eventually('the list is fetched', async () => await newest() !== seen);
        await isLive(page);
        await its.close();
    });
});

describe('a shop', () => {
    let shop;
    let api;
    before(async () => {
        shop = await start([]);
        api = client(shop.url);
        await api.put('api/inventory/locations/store', { name: 'Corner store', priority: 10 });
        await api.stock('mug', 'Blue mug', 40);
        await api.stock('tee', 'Green tee', 30);
        await api.stock('pot', 'Moka pot', 3);
    });
    after(() => shop.stop());

    test('the page links to what is there, also behind the gateway', async () => {
        const links = async (url, expected, more = {}) => {
            const its = await open(url, more);
            const found = its.page.locator('.foot a');
            const hrefs = () => found.evaluateAll((all) => all.map((one) => one.getAttribute('href')));
            await eventually('the links are there', async () => (await hrefs()).length === expected.length);
            assert.deepEqual(await hrefs(), expected);
            for (const href of expected) assert.equal((await fetch(new URL(href, url))).status, 200, href);
            await its.close();
        };
        await links(shop.url, ['docs', 'openapi.json', 'metrics', 'readyz', 'version']);
        const front = await gateway(shop.url);
        // The page looks which ones there are.
        await links(front.url, ['orders/docs', 'inventory/docs'], { expected: [404] });
        front.stop();
    });

    test('the axis of the orders shows times from its first second on', async () => {
        const prepare = (page) => page.addInitScript(() => {
            globalThis.drawn = [];
            const { fillText } = CanvasRenderingContext2D.prototype;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
                globalThis.drawn.push(text);
                return fillText.call(this, text, ...more);
            };
        });
        const its = await open(shop.url, { prepare });
        const times = async () => (await its.page.evaluate(() => globalThis.drawn)).filter((text) => !/^[\d.]*$/.test(text));
        await eventually('some seconds pass', async () => new Set(await times()).size >= 4);
        for (const text of await times()) assert.match(text, /^\d+:\d\d:\d\d\s[AP]M$/);
        await its.close();
    });

    test('stock that is adjusted in one window changes in another one', async () => {
        const [one, two] = await Promise.all([open(shop.url, { hash: '#/stock/tee' }), open(shop.url, { hash: '#/stock/tee' })]);
        const level = (its) => its.page.locator('[data-level="on-hand"]').textContent();
        await isLive(two.page);
        await eventually('both show the stock', async () => await level(one) === '30' && await level(two) === '30');
        const { page } = one;
        await page.getByRole('button', { name: 'Adjust' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByRole('button', { name: 'Adjust' }).click();
        await dialog.getByText('Say why, for the ledger.').waitFor();
        await dialog.getByLabel('Difference').fill('-4');
        await dialog.getByLabel('Reason').fill('moths');
        await dialog.getByText('26 on hand').waitFor();
        await one.check();
        await dialog.getByRole('button', { name: 'Adjust' }).dblclick();
        await dialog.waitFor({ state: 'hidden' });
        await eventually('the other window shows it', async () => await level(two) === '26');
        await two.page.getByText('Corrected by 4 units less at').waitFor();
        await two.page.getByText('moths').first().waitFor();
        const { data } = await api.get('api/inventory/products/tee/movements');
        assert.equal(data.filter((its2) => its2.kind === 'adjust').length, 1, 'a double click is one movement');
        await one.close();
        await two.close();
    });

    test('a count is refused if the stock changed meanwhile, and can be confirmed', async () => {
        await api.stock('cup', 'Cup', 10);
        const its = await open(shop.url, { hash: '#/stock/cup', expected: [409] });
        const { page } = its;
        await page.getByRole('button', { name: 'Count' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Units counted').fill('8');
        await dialog.getByLabel('Reason').fill('stocktaking');
        await api.post('api/inventory/products/cup/movements', { kind: 'receive', quantity: 5 });
        await dialog.getByText('The stock changed while you counted: from 10 to 15').waitFor();
        await dialog.getByRole('button', { name: 'Save count' }).click();
        await dialog.getByText('The stock has changed meanwhile').waitFor();
        await dialog.getByRole('button', { name: 'My count includes it' }).click();
        await dialog.getByRole('button', { name: 'Save count' }).click();
        await dialog.waitFor({ state: 'hidden' });
        await page.getByText('Counted: 8 on hand at').waitFor();
        await its.close();
    });

    test('an import shows its bad rows first, and changes what is good', async () => {
        const its = await open(shop.url, { hash: '#/import' });
        const { page } = its;
        const csv = 'product_id,name,quantity,location_id\n'
            + 'mug,Blue mug,50,main\n'
            + 'mug,Blue mug,x,store\n'
            + 'spoon,"Spoon, silver",12,main\n'
            + 'tee,Green tee,-1,main\n'
            + 'pot,Moka pot,4,nowhere\n';
        await page.locator('input[type=file]').setInputFiles({ name: 'stock.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
        await page.getByText('5 rows checked. Nothing has changed yet.').waitFor();
        const count = (name) => page.locator(`[data-count="${name}"]`).textContent();
        assert.deepEqual([await count('would-change'), await count('failed')], ['2', '3']);
        const errors = page.getByRole('region', { name: 'Rows with errors' });
        assert.equal(await errors.first().getByRole('row').count(), 4, 'a head and three rows');
        assert.equal((await api.get('api/inventory/products/mug')).on_hand, 40, 'nothing has changed');
        await its.check();
        await page.getByLabel('Reason').fill('stocktaking 2026');
        await page.getByRole('button', { name: 'Import 2 rows' }).click();
        await page.getByText('Done: 2 rows changed the stock.').waitFor();
        assert.equal((await api.get('api/inventory/products/mug')).on_hand, 50);
        assert.equal((await api.get('api/inventory/products/spoon')).name, 'Spoon, silver');
        await its.close();
    });

    test('a cancelled order gives its units back', async () => {
        const { order_id: id } = await api.order([['pot', 2, 29.99]]);
        const its = await open(shop.url, { hash: `#/orders/${id}` });
        const { page } = its;
        assert.equal((await api.get('api/inventory/products/pot')).available, 1);
        await page.getByRole('button', { name: 'Cancel order' }).click();
        const dialog = page.getByRole('dialog');
        await its.check();
        await page.keyboard.press('Escape');
        await dialog.waitFor({ state: 'hidden' });
        await page.getByRole('button', { name: 'Cancel order' }).click();
        await dialog.getByLabel('Reason').fill('changed my mind');
        await dialog.getByRole('button', { name: 'Cancel order' }).click();
        await dialog.waitFor({ state: 'hidden' });
        await page.locator('.title').getByText('Cancelled').waitFor();
        await page.getByText('Stock released').waitFor();
        await page.getByText('changed my mind').waitFor();
        await page.goto(`${shop.url}#/stock/pot`);
        await eventually('the units are available', async () =>
            await page.locator('[data-level="available"]').textContent() === '3');
        await page.getByText(/2 units of order .* available again/).waitFor();
        await its.close();
    });

    test('an order whose units are all shipped is fulfilled', async () => {
        const { order_id: id } = await api.order([['mug', 1, 14.5]]);
        const its = await open(shop.url, { hash: `#/orders/${id}` });
        const { page } = its;
        await page.getByRole('button', { name: 'Ship', exact: true }).click();
        await page.getByRole('dialog').getByText('1 held at').waitFor();
        await page.getByRole('dialog').getByRole('button', { name: 'Ship 1 unit' }).click();
        await page.locator('.title').getByText('Fulfilled').waitFor();
        await page.getByText('Stock shipped').waitFor();
        await its.close();
    });

    test('every page is usable in both themes and both languages, also on a phone', async () => {
        const { order_id: held } = await api.order([['mug', 1, 14.5], ['tee', 1, 39]]);
        const { order_id: rejected } = await api.order([['pot', 5000, 29.99]]);
        const hashes = ['#/overview', '#/orders', `#/orders/${held}`, `#/orders/${rejected}`, '#/stock', '#/stock/mug', '#/import', '#/trouble'];
        const looks = [
            { theme: 'light', language: 'en-US', width: 1280 },
            { theme: 'dark', language: 'pt-BR', width: 1280 },
            { theme: 'light', language: 'pt-BR', width: 390 },
            { theme: 'dark', language: 'en-US', width: 390 },
        ];
        const pictureOf = ({ theme, width }, hash) => {
            const [name, id] = hash.slice(2).split('/');
            if (width === 390) return theme === 'light' && name === 'overview' ? 'phone' : null;
            if (theme === 'dark') return id === 'mug' ? 'product' : null;
            return id === held ? 'order' : ['overview', 'import', 'trouble'].includes(name) ? name : null;
        };
        const english = /\b(Overview|Orders|Stock|Trouble|Loading|Customer|Available|What to do)\b/;
        await Promise.all(looks.map(async (look) => {
            const its = await open(shop.url, look);
            const { page } = its;
            for (const hash of hashes) {
                await page.goto(shop.url + hash);
                await page.locator('h1').waitFor();
                await page.locator('.skeleton').first().waitFor({ state: 'detached' });
                await its.check();
                const name = pictureOf(look, hash);
                if (name) await picture(page, name);
                const { lang, dataset } = await page.evaluate(() =>
                    ({ lang: document.documentElement.lang, dataset: { ...document.documentElement.dataset } }));
                assert.equal(dataset.theme, look.theme);
                assert.equal(lang, look.language === 'pt-BR' ? 'pt-BR' : 'en');
                if (lang === 'pt-BR') {
                    // What the service says in English is marked as such.
                    const text = await page.evaluate(() => {
                        const copy = document.body.cloneNode(true);
                        copy.querySelectorAll('[lang="en"], code').forEach((one) => one.remove());
                        return copy.textContent;
                    });
                    assert.doesNotMatch(text, english, hash);
                }
            }
            await its.close();
        }));
    });

    test('theme and language can be chosen, and are remembered', async () => {
        const its = await open(shop.url);
        const { page } = its;
        await page.getByRole('button', { name: /^Theme/ }).click();
        await page.getByRole('button', { name: /^Theme/ }).click();
        await page.getByLabel('Language').selectOption('pt-BR');
        await page.getByRole('heading', { name: 'Visão geral' }).waitFor();
        await page.reload();
        await page.getByRole('heading', { name: 'Visão geral' }).waitFor();
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
        await its.close();
    });

    test('the keyboard alone is enough', async () => {
        const its = await open(shop.url);
        const { page } = its;
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
        await page.keyboard.press('Enter');
        assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
        await page.keyboard.press('g');
        await page.keyboard.press('s');
        await page.getByRole('heading', { name: 'Stock', exact: true }).waitFor();
        await eventually('the heading has the focus', () => page.evaluate(() => document.activeElement.tagName === 'H1'));
        await page.keyboard.press('/');
        await page.keyboard.type('tee');
        await page.getByRole('link', { name: 'Green tee' }).waitFor();
        await eventually('the search is over', async () => await page.getByRole('link', { name: 'Blue mug' }).count() === 0);
        await page.keyboard.press('Escape');
        await page.locator('h1').focus();
        await page.keyboard.press('?');
        await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
        for (let step = 0; step < 6; step += 1) {
            await page.keyboard.press('Tab');
            const isInside = await page.evaluate(() => document.activeElement === document.body
                || document.activeElement.closest('dialog') !== null);
            assert.ok(isInside, 'the focus stays in the dialog');
        }
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'hidden' });
        await its.close();
    });

    test('an order that does not exist is said in words, with the id of the request', async () => {
        const missing = await open(shop.url, { hash: '#/orders/01a22295-3eb2-7612-baf6-ec63a61e72c1', expected: [404] });
        await missing.page.getByText('There is no such order').first().waitFor();
        await missing.page.getByText('Details').first().click();
        await missing.page.getByText(/^Request [0-9a-f-]{36}$/).waitFor();
        await missing.close();
    });
});

test('a page outlives a restart of the service, and misses nothing', async () => {
    let shop = await start([]);
    try {
        await client(shop.url).stock('mug', 'Blue mug', 20);
        const its = await open(shop.url, { hash: '#/stock/mug', expected: ['ERR_', 502, 503] });
        const { page } = its;
        const level = () => page.locator('[data-level="on-hand"]').textContent();
        await isLive(page);
        await eventually('the stock is shown', async () => await level() === '20');
        await shop.stop({ keepsData: true });
        await page.locator('.live.connecting:visible, .live.polling:visible').waitFor();
        await page.evaluate(() => { location.hash = '#/orders'; });
        await page.getByText('The service does not answer').waitFor();
        await its.check();
        shop = await start([], {}, shop);
        await client(shop.url).post('api/inventory/products/mug/movements', { kind: 'receive', quantity: 7 });
        await page.getByRole('button', { name: 'Try again' }).click();
        await page.getByText('No orders yet').waitFor();
        await page.goto(`${shop.url}#/stock/mug`);
        await eventually('the stock is shown', async () => await level() === '27');
        await isLive(page);
        await client(shop.url).post('api/inventory/products/mug/movements', { kind: 'receive', quantity: 1 });
        await eventually('changes are shown again', async () => await level() === '28');
        await its.close();
    } finally {
        await shop.stop();
    }
});

test('a service that asks for keys lets people sign in, and forgets the key', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lastro-keys-'));
    const scopes = 'orders:read,stock:read,ledger:read,ops:read';
    const printed = await runToEnd(['keys', 'create', '--file', 'keys.toml', '--name', 'desk', '--scope', scopes], folder);
    const key = /lsk_\w+/.exec(printed)[0];
    const shop = await start([], { LASTRO_API_KEYS_FILE: join(folder, 'keys.toml') });
    try {
        const its = await open(shop.url, { expected: [401, 403] });
        const { page } = its;
        await page.getByRole('heading', { name: 'Sign in' }).waitFor();
        await its.check();
        await page.getByLabel('API key').fill('lsk_live_wrong');
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.getByText('The key is not valid').waitFor();
        await page.getByLabel('API key').fill(key);
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { name: 'Overview' }).waitFor();
        await isLive(page);
        const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie + location.href);
        assert.ok(!kept.includes('lsk_'), kept);
        await its.check();
        await page.getByRole('button', { name: 'Sign out' }).click();
        await page.getByRole('heading', { name: 'Sign in' }).waitFor();
        await page.getByLabel('API key').fill(key);
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { name: 'Overview' }).waitFor();
        await page.reload();
        await page.getByRole('heading', { name: 'Sign in' }).waitFor();
        await its.close();
    } finally {
        await shop.stop();
        await rm(folder, { recursive: true, force: true });
    }
});

test('a message in quarantine is shown and resolved', async () => {
    const broker = process.env.LASTRO_TEST_NATS_URL;
    assert.ok(broker, 'run scripts/browser, or scripts/with-servers node --test');
    const channel = `browser${process.pid}`;
    const shop = await start([], { LASTRO_BUS_URL: `${broker}?channel=${channel}` });
    try {
        const api = client(shop.url);
        await api.stock('mug', 'Blue mug', 5);
        await forge(broker, `${channel}.orders.answers`, '{"this is": "no answer"}', () => api.order([['mug', 1]]));
        await eventually('the message is set aside', async () => (await api.get('api/orders/quarantine')).data.length > 0);
        const its = await open(shop.url, { hash: '#/trouble' });
        const { page } = its;
        await page.getByRole('link', { name: /Trouble/ }).getByText('1').waitFor();
        await page.getByText('Unreadable').waitFor();
        await page.getByRole('button', { name: 'Look' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByText('no answer').waitFor();
        await its.check();
        await dialog.getByRole('button', { name: 'Discard' }).click();
        await page.getByRole('dialog', { name: 'Discard this message?' }).getByRole('button', { name: 'Discard' }).click();
        await page.getByText('The quarantine is empty').waitFor();
        await page.getByLabel('also what was discarded').check();
        await page.getByText('Unreadable').waitFor();
        const { data } = await api.get('api/orders/quarantine?seen=true');
        assert.equal(data.length, 1);
        await its.close();
    } finally {
        await shop.stop();
    }
});
