// Orders that are paid, shipped in parts, returned and refunded, in a browser.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { client, closeBrowser, eventually, open, openBrowser, picture, start } from './harness.mjs';

const WITHIN = { payment: { within_s: 900 } };
const status = (page, text) => page.locator('.title').getByText(text, { exact: true }).waitFor();
const button = (page, name) => page.getByRole('button', { name, exact: true });
const units = (page, product, name) => page.locator(`[data-item="${product}"] [data-units="${name}"]`).textContent();
const owed = (page) => page.locator('[data-money="owed"]').textContent();

before(openBrowser);
after(closeBrowser);

describe('a shop', () => {
    let shop;
    let api;
    before(async () => {
        shop = await start([]);
        api = client(shop.url);
        await api.put('api/inventory/locations/store', { name: 'Corner store', priority: 10 });
        await api.stock('mug', 'Blue mug', 400);
        await api.stock('tee', 'Green tee', 300);
        await api.stock('cup', 'Cup', 50);
    });
    after(() => shop.stop());

    test('an order with a payment is reserved, paid and confirmed on its page', async () => {
        const { order_id: id } = await api.order([['mug', 2, 14.5], ['tee', 1, 40.97]], 'bia', WITHIN);
        const its = await open(shop.url, { expected: [409] });
        const { page } = its;
        const due = page.getByRole('region', { name: 'Payments due' }).first();
        await due.getByRole('row').filter({ hasText: 'bia' }).getByText('R$69.97').waitFor();
        await due.getByRole('link', { name: 'All' }).click();
        await page.getByRole('heading', { name: 'Orders', exact: true }).waitFor();
        assert.equal(await page.getByLabel('Payment').inputValue(), 'due');
        await page.getByRole('row').filter({ hasText: 'bia' }).getByRole('link').first().click();
        await status(page, 'Reserved');
        await status(page, 'Payment due');
        await page.getByText(/^1[45] min left$/).waitFor();
        assert.equal(await button(page, 'Ship').count(), 0, 'nothing is shipped before it is paid');
        await button(page, 'Record payment').click();
        const dialog = page.getByRole('dialog');
        const submit = button(dialog, 'Record payment');
        assert.equal(await dialog.getByLabel('Amount (BRL)').inputValue(), '69.97');
        await submit.click();
        await dialog.getByText('Enter what tells it from others.').waitFor();
        await eventually('what is wrong has the focus', () => dialog.getByLabel('Reference').evaluate((one) => one === document.activeElement));
        await its.check();
        await dialog.getByLabel('Reference').fill('charge-17');
        await dialog.getByLabel('Amount (BRL)').fill('69.96');
        await submit.click();
        await dialog.getByText('That is less than what is due').waitFor();
        await dialog.getByLabel('Amount (BRL)').fill('69.97');
        await submit.click();
        await dialog.waitFor({ state: 'hidden' });
        await status(page, 'Confirmed');
        await page.locator('.timeline li', { hasText: 'Payment recorded' }).getByText('R$69.97, reference charge-17').waitFor();
        assert.equal(await page.locator('[data-money="paid"]').textContent(), 'R$69.97');
        await button(page, 'Ship').waitFor();
        const { payment } = await api.get(`api/orders/${id}`);
        assert.deepEqual([payment.state, payment.paid], ['paid', 69.97]);
        await its.close();
    });

    test('a double click ships once, a shipment is cancelled, and what comes back is in the stock', async () => {
        const { order_id: id } = await api.order([['cup', 3, 10]]);
        const its = await open(shop.url, { hash: `#/orders/${id}` });
        const { page } = its;
        const keys = [];
        page.on('request', (one) => one.method() === 'POST' && one.url().endsWith('/shipments') && keys.push(one.headers()['idempotency-key']));
        const dialog = page.getByRole('dialog');
        await button(page, 'Ship').click();
        assert.equal(await dialog.getByLabel('Cup').inputValue(), '3', 'all of them, unless one says otherwise');
        await dialog.getByLabel('Cup').fill('4');
        await dialog.getByText('Enter a whole number from 0 to 3.').waitFor();
        await dialog.getByLabel('Cup').fill('2');
        await dialog.getByLabel('Carrier').fill('Correios');
        await dialog.getByLabel('Number').fill('BR123456789BR');
        await dialog.getByLabel('Link').fill('javascript:alert(1)');
        await button(dialog, 'Ship 2 units').click();
        await dialog.getByText('Enter a link that begins with https://.').waitFor();
        await dialog.getByLabel('Link').fill('https://example.org/BR123456789BR');
        await its.check();
        await button(dialog, 'Ship 2 units').dblclick();
        await dialog.waitFor({ state: 'hidden' });
        const first = page.locator('[data-shipment]').first();
        await first.getByText('Shipped', { exact: true }).waitFor();
        assert.equal(await first.getByRole('link', { name: 'Correios BR123456789BR' }).getAttribute('href'), 'https://example.org/BR123456789BR');
        await status(page, 'Confirmed');
        await page.getByText('2 of 3 units shipped').waitFor();
        assert.equal((await api.get(`api/orders/${id}`)).shipments.length, 1, 'a double click is one shipment');
        assert.equal(new Set(keys).size, 1);

        await button(page, 'Change tracking (Shipment 1)').click();
        await dialog.getByLabel('Number').fill('BR000000000BR');
        await button(dialog, 'Save tracking').click();
        await dialog.waitFor({ state: 'hidden' });
        await first.getByText('Correios BR000000000BR').waitFor();

        await button(page, 'Cancel shipment (Shipment 1)').click();
        await dialog.getByText('2 units go back to the order').waitFor();
        await dialog.getByLabel('Reason').fill('wrong label');
        await button(dialog, 'Cancel shipment').click();
        await dialog.waitFor({ state: 'hidden' });
        await first.getByText('Cancelled', { exact: true }).waitFor();
        await page.getByText('Units back from a cancelled shipment').waitFor();
        await eventually('nothing is shipped', async () => await units(page, 'cup', 'shipped') === '0');

        await button(page, 'Ship').click();
        await button(dialog, 'Ship 3 units').click();
        await status(page, 'Fulfilled');
        await button(page, 'Take units back').click();
        await dialog.getByText('3 are with the customer').waitFor();
        await button(dialog, 'Take units back').click();
        await dialog.getByText('Choose at least one unit.').waitFor();
        await dialog.getByRole('button', { name: 'Split' }).click();
        const lines = dialog.getByRole('group');
        await lines.nth(0).getByLabel('Quantity').fill('1');
        await lines.nth(1).getByLabel('Quantity').fill('3');
        await dialog.getByText('Enter a whole number from 0 to 3.').first().waitFor();
        await lines.nth(1).getByLabel('Quantity').fill('1');
        assert.equal(await lines.nth(1).getByLabel('What becomes of it').inputValue(), 'quarantine');
        await dialog.getByLabel('Reason').fill('the box was open');
        await its.check();
        await button(dialog, 'Take units back').click();
        await dialog.waitFor({ state: 'hidden' });
        await page.locator('[data-return]').getByText(/^1 × Cup in quarantine at/).waitFor();
        await page.locator('[data-return]').getByText(/^1 × Cup back on the shelf at/).waitFor();
        await eventually('two came back', async () => await units(page, 'cup', 'returned') === '2');
        await status(page, 'Fulfilled');
        // A unit that is written off changes no level. The order's entry says how many came back.
        await button(page, 'Take units back').click();
        await lines.nth(0).getByLabel('Quantity').fill('1');
        await lines.nth(0).getByLabel('What becomes of it').selectOption('write_off');
        await button(dialog, 'Take units back').click();
        await dialog.waitFor({ state: 'hidden' });
        await eventually('the third came back', async () => await units(page, 'cup', 'returned') === '3');
        const booked = page.locator('.timeline li', { hasText: 'Returned units booked' });
        await booked.nth(1).getByText(/^Cup at /).waitFor();

        await page.goto(`${shop.url}#/stock/cup`);
        const level = (name) => page.locator(`[data-level="${name}"]`).textContent();
        await eventually('the stock shows them', async () =>
            [await level('on-hand'), await level('quarantined'), await level('available')].join() === '49,1,48');
        await page.getByText(/^2 units of order .* came back at .*, 1 into quarantine$/).waitFor();
        await page.getByText(/^2 units of a cancelled shipment back for order/).waitFor();
        await its.close();
    });

    test('units are put into quarantine, released and written off on the page of a product', async () => {
        await api.stock('vase', 'Vase', 10);
        const its = await open(shop.url, { hash: '#/stock/vase', expected: [409] });
        const { page } = its;
        const dialog = page.getByRole('dialog');
        const levels = async () => Promise.all(['on-hand', 'quarantined', 'available']
            .map((name) => page.locator(`[data-level="${name}"]`).textContent()));
        const move = async (name, label, quantity, action) => {
            await button(page, name).click();
            await dialog.getByLabel(label).fill(quantity);
            await button(dialog, action).click();
            await dialog.getByText('Say why, for the ledger.').waitFor();
            await dialog.getByLabel('Reason').fill('cracks');
            await its.check();
            await button(dialog, action).click();
            await dialog.waitFor({ state: 'hidden' });
        };
        await button(page, 'Quarantine').click();
        await dialog.getByLabel('Units to set aside').fill('11');
        await dialog.getByLabel('Reason').fill('cracks');
        await button(dialog, 'Put into quarantine').click();
        await dialog.getByText('Enter a whole number from 1 to 10.').waitFor();
        await page.keyboard.press('Escape');
        await move('Quarantine', 'Units to set aside', '3', 'Put into quarantine');
        await eventually('they are in quarantine', async () => (await levels()).join() === '10,3,7');
        await page.getByText('3 units put into quarantine at').waitFor();
        await move('Release', 'Units to release', '1', 'Release from quarantine');
        await eventually('one can be sold again', async () => (await levels()).join() === '10,2,8');
        await move('Write off', 'Units to write off', '2', 'Write off');
        await eventually('two are gone', async () => (await levels()).join() === '8,0,8');
        await page.getByText('2 units in quarantine written off at').waitFor();
        await eventually('nothing is left to be done', async () => await button(page, 'Write off').count() === 0);
        await its.close();
    });

    test('units are cancelled, the money for them is owed, and a refund settles it', async () => {
        const { order_id: id } = await api.order([['mug', 2, 14.5], ['tee', 1, 39.9]], 'caio', WITHIN);
        await api.change(id, 'pay', { reference: 'charge-18' });
        const its = await open(shop.url, { hash: `#/orders/${id}`, expected: [409, 422] });
        const { page } = its;
        const dialog = page.getByRole('dialog');
        await button(page, 'Cancel units').click();
        await dialog.getByText('What was paid for them is then owed').waitFor();
        await dialog.getByLabel('Blue mug').fill('1');
        await dialog.getByLabel('Reason').fill('one is enough');
        await its.check();
        await button(dialog, 'Cancel units').click();
        await dialog.waitFor({ state: 'hidden' });
        await status(page, 'Refund due');
        await eventually('it is owed', async () => await owed(page) === 'R$14.50');
        assert.equal(await units(page, 'mug', 'cancelled'), '1');
        await page.goto(`${shop.url}#/trouble`);
        const list = page.getByRole('region', { name: 'Money owed' });
        await list.first().getByText('Give the money back where it was paid').waitFor();
        await list.first().getByRole('row').filter({ hasText: 'caio' }).getByText('R$14.50').waitFor();
        await its.check();
        await list.first().getByRole('row').filter({ hasText: 'caio' }).getByRole('link').first().click();
        await button(page, 'Record refund').click();
        await eventually('what is owed is filled in', async () => await dialog.getByLabel('Amount (BRL)').inputValue() === '14.50');
        await dialog.getByLabel('Reference').fill('refund-1');
        await dialog.getByLabel('Amount (BRL)').fill('500');
        await dialog.getByText('That is more than what was paid and not refunded').waitFor();
        await dialog.getByLabel('Amount (BRL)').fill('14.50');
        await button(dialog, 'Record refund').dblclick();
        await dialog.waitFor({ state: 'hidden' });
        await eventually('nothing is owed', async () => await owed(page) === 'R$0.00');
        await page.locator('.timeline').getByText('R$14.50, reference refund-1').waitFor();
        // A reference stands for one refund.
        await button(page, 'Record refund').click();
        await dialog.getByLabel('Reference').fill('refund-1');
        await dialog.getByLabel('Amount (BRL)').fill('2');
        await button(dialog, 'Record refund').click();
        await dialog.getByText('Another amount was recorded with this reference.').waitFor();
        await dialog.getByLabel('Reference').fill('refund-2');
        await button(dialog, 'Record refund').click();
        await dialog.waitFor({ state: 'hidden' });
        assert.equal((await api.get(`api/orders/${id}`)).payment.refunded, 16.5);
        await its.close();
    });

    test('what the service refuses is said where it belongs, and the same form is sent again', async () => {
        const { order_id: id } = await api.order([['mug', 3, 14.5], ['tee', 2, 39.9]]);
        const its = await open(shop.url, { hash: `#/orders/${id}`, expected: [409, 'ERR_'] });
        const { page } = its;
        const dialog = page.getByRole('dialog');
        const keys = [];
        const answers = [
            { code: 'quantity_unavailable', errors: [{ pointer: '/lines/1/quantity', code: 'out_of_range', detail: 'at most 0' }] },
            { code: 'order_busy', errors: [] },
            'lost',
            'whole',
        ];
        await page.route('**/shipments', async (route) => {
            keys.push(route.request().headers()['idempotency-key']);
            const answer = answers.shift();
            if (answer === 'whole') return route.continue();
            if (answer !== 'lost') return route.fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify({ status: 409, ...answer }) });
            await route.fetch();
            return route.abort('connectionreset');
        });
        await button(page, 'Ship').click();
        await dialog.getByLabel('Blue mug').fill('1');
        await dialog.getByLabel('Green tee').fill('1');
        const submit = button(dialog, 'Ship 2 units');
        await submit.click();
        const field = dialog.getByLabel('Green tee');
        await eventually('the field of the line is marked', async () => await field.getAttribute('aria-invalid') === 'true');
        await dialog.getByText('There are fewer units by now.').waitFor();
        assert.equal(await dialog.getByRole('alert').count(), 0);
        await its.check();
        await submit.click();
        await dialog.getByText('Units are just being taken off this order. Try again in a moment').waitFor();
        assert.equal(await field.getAttribute('aria-invalid'), null);
        await submit.click();
        await dialog.getByText('The service does not answer').waitFor();
        // The lost attempt shipped two units, and the page says so while the form is open. Sent again, it
        // ships no others.
        await page.getByText('2 of 5 units shipped').waitFor();
        await its.check();
        await submit.click();
        await dialog.waitFor({ state: 'hidden' });
        assert.deepEqual(keys, [keys[0], keys[0], keys[0], keys[0]]);
        assert.equal((await api.get(`api/orders/${id}`)).shipments.length, 1);
        await its.close();
    });

    test('an order that expired says what a late payment leads to', async () => {
        const { order_id: id } = await api.order([['tee', 2, 39.9]], 'eva', WITHIN);
        const money = { amount: 79.8, paid: 0, refunded: 0, refund_due: 0, pay_by: null };
        const late = [
            { status: 'expired', payment: { ...money, state: 'expired' } },
            {
                status: 'expired',
                payment: { ...money, state: 'refund_due', paid: 79.8, refund_due: 79.8 },
                shortages: [{ product_id: 'tee', requested: 2, available: 1, reason: 'out_of_stock' }],
            },
        ];
        let answer = 0;
        const its = await open(shop.url, {
            hash: `#/orders/${id}`,
            // A deadline is a minute away at least.
            prepare: (page) => page.route(`**/api/orders/${id}`, async (route) => {
                const response = await route.fetch();
                return route.fulfill({ response, json: { ...await response.json(), ...late[answer] } });
            }),
        });
        const { page } = its;
        await status(page, 'Expired');
        await page.getByText('It was not paid in time, so its units were released.').waitFor();
        await button(page, 'Record payment').click();
        await page.getByRole('dialog').getByText('If there is stock, the order is reserved again').waitFor();
        await its.check();
        await page.keyboard.press('Escape');
        answer = 1;
        await page.reload();
        const note = page.getByRole('note');
        await note.getByText('Not reserved again: there was not enough stock').waitFor();
        await note.getByRole('listitem').filter({ hasText: 'Green tee (tee): 2 requested, 1 available' }).waitFor();
        await status(page, 'Refund due');
        await button(page, 'Record refund').waitFor();
        await its.close();
    });

    test('the page offers what the status and the numbers of an order allow', async () => {
        const its = await open(shop.url);
        // Of three units, and money if there is any: [ordered, cancelled, shipped, returned], [paid, refunded].
        const cases = [
            ['received', [3, 0, 0, 0], null, 'cancel'],
            ['reserved', [3, 0, 0, 0], [0, 0], 'cancel pay'],
            ['confirmed', [3, 0, 0, 0], null, 'cancel cancelUnits ship'],
            ['confirmed', [3, 1, 1, 0], [30, 10], 'cancelShipment cancelUnits refund ship takeBack'],
            ['amending', [3, 0, 1, 1], [30, 30], 'cancelShipment cancelUnits ship'],
            ['fulfilling', [3, 0, 3, 0], null, 'cancelShipment takeBack'],
            ['fulfilled', [3, 1, 2, 2], [30, 0], 'cancelShipment refund'],
            ['cancelling', [3, 3, 0, 0], [30, 0], 'refund'],
            ['cancelled', [3, 3, 0, 0], [0, 0], 'pay'],
            ['rejected', [3, 3, 0, 0], null, ''],
            ['expired', [3, 3, 0, 0], [0, 0], 'cancel pay'],
            ['reviving', [3, 0, 0, 0], [30, 0], 'cancel refund'],
        ];
        const offered = await its.page.evaluate(async (all) => {
            const app = document.querySelector('script[type=module]').src;
            const { allowed, held } = await import(new URL('pages/order/units.js', app));
            const line = (quantity) => ({ product_id: 'mug', location_id: 'main', quantity });
            return all.map(([status, [ordered, cancelled, shipped, returned], money]) => {
                const order = {
                    status,
                    total: 30,
                    payment: money && { paid: money[0], refunded: money[1] },
                    allocations: [line(ordered - cancelled)],
                    shipments: [{ state: 'cancelled', lines: [line(2)] }, { state: 'shipped', lines: [line(shipped)] }],
                    items: [{ product_id: 'mug', ordered, cancelled, shipped, returned }],
                };
                const may = allowed(order);
                may.cancelShipment = may.cancelShipment(order.shipments[1]) && shipped > 0;
                const left = held(order).reduce((sum, one) => sum + one.quantity, 0);
                return [left, Object.keys(may).filter((name) => may[name]).sort().join(' ')];
            });
        }, cases);
        cases.forEach(([status, [ordered, cancelled, shipped], , expected], at) => {
            assert.deepEqual(offered[at], [ordered - cancelled - shipped, expected], status);
        });
        await its.close();
    });

    test('every form of an order is usable in both themes, in Portuguese and on a phone', async () => {
        const { order_id: due } = await api.order([['mug', 1, 14.5]], 'duda', WITHIN);
        const { order_id: id } = await api.order([['mug', 4, 14.5], ['tee', 2, 39.9]], 'duda', WITHIN);
        await api.change(id, 'pay', { reference: 'charge-19' });
        await api.change(id, 'cancellations', { lines: [{ product_id: 'tee', quantity: 1 }], reason: 'mudei de ideia' });
        await api.change(id, 'shipments', { lines: [{ product_id: 'mug', quantity: 3 }], tracking: { carrier: 'Correios', number: 'BR1' } });
        await api.change(id, 'returns', { lines: [{ product_id: 'mug', quantity: 1, disposition: 'quarantine' }] });
        const looks = [
            { theme: 'dark', language: 'pt-BR', width: 1280 },
            { theme: 'light', language: 'pt-BR', width: 390 },
        ];
        const forms = {
            [due]: [/^(Record payment|Registrar pagamento)$/, /^(Cancel order|Cancelar pedido)$/],
            [id]: [/^(Ship|Enviar)$/, /^(Cancel units|Cancelar unidades)$/, /^(Take units back|Receber devolução)$/, /^(Record refund|Registrar reembolso)$/,
                /^(Change tracking|Mudar rastreamento)/, /^(Cancel shipment|Cancelar remessa)/],
        };
        const english = /\b(Payment|Shipments?|Returns?|Units?|Refund|Owed|Reason|Optional|Tracking|Cancelled|Quantity|order)\b/;
        const textOf = (page) => page.evaluate(() => {
            const copy = document.body.cloneNode(true);
            copy.querySelectorAll('[lang="en"], code').forEach((one) => one.remove());
            return copy.textContent;
        });
        await Promise.all(looks.map(async (look) => {
            const its = await open(shop.url, look);
            const { page } = its;
            for (const [order, names] of Object.entries(forms)) {
                await page.goto(`${shop.url}#/orders/${order}`);
                await page.locator('.timeline').waitFor();
                await its.check();
                for (const name of names) {
                    await page.getByRole('button', { name }).first().click();
                    await page.getByRole('dialog').waitFor();
                    await its.check();
                    assert.doesNotMatch(await textOf(page), english);
                    await page.keyboard.press('Escape');
                    await page.getByRole('dialog').waitFor({ state: 'hidden' });
                }
            }
            await picture(page, look.width === 390 ? 'order-changes-phone' : 'order-changes');
            await its.close();
        }));
    });
});
