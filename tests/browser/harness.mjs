// Programs and pages for the tests. Every program listens on a free port of 127.0.0.1 and has a
// temporary folder; every page is watched for what must never happen.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ROOT = new URL('../..', import.meta.url).pathname;
export const LASTRO = process.env.LASTRO ?? join(ROOT, 'target/debug/lastro');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = join(ROOT, 'target/browser');
const START_MS = 20_000;
export const PATIENCE_MS = 10_000;

// Starts a program and waits until it says where it listens. `again` is one that was stopped with its
// data kept: the new one continues, at the same address.
export async function start(args, env = {}, again = null) {
    const folder = again?.folder ?? await mkdtemp(join(tmpdir(), 'lastro-browser-'));
    const listen = again ? new URL(again.url).host : '127.0.0.1:0';
    const its = spawn(LASTRO, [...args, '--listen', listen, '--data-dir', join(folder, 'data')], {
        cwd: folder, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    const exited = new Promise((resolve) => its.on('exit', resolve));
    const address = await new Promise((resolve, reject) => {
        const read = (chunk) => {
            log = (log + chunk).slice(-100_000);
            const found = /"message":"lastro is ready","address":"([^"]+)"/.exec(log);
            if (found) resolve(found[1]);
        };
        its.stdout.on('data', read);
        its.stderr.on('data', read);
        exited.then(() => reject(new Error(`the program ended:\n${log}`)));
        setTimeout(() => reject(new Error(`the program did not start:\n${log}`)), START_MS).unref();
    });
    return {
        url: `http://${address}/`,
        folder,
        log: () => log,
        stop: async ({ keepsData = false } = {}) => {
            its.kill('SIGTERM');
            await exited;
            if (!keepsData) await rm(folder, { recursive: true, force: true });
        },
    };
}

// Starts the demo, and waits until it has told its story: it must not find other stock than its own.
export async function startDemo() {
    const demo = await start(['demo']);
    await eventually('the demo goes on', () => demo.log().includes('The services keep running'));
    return demo;
}

// Runs the program to its end, and answers what it printed.
export async function runToEnd(args, cwd) {
    const its = spawn(LASTRO, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    its.stdout.on('data', (chunk) => { text += chunk; });
    const status = await new Promise((resolve) => its.on('exit', resolve));
    assert.equal(status, 0, text);
    return text;
}

// Requests to the API, as a client that prepares a test.
export function client(url, headers = {}) {
    const ask = async (method, path, body, more = {}) => {
        const response = await fetch(new URL(path, url), {
            method,
            headers: { ...headers, ...more, ...(body && { 'content-type': 'application/json' }) },
            body: body && JSON.stringify(body),
        });
        const answer = await response.json();
        assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`);
        return answer;
    };
    return {
        get: (path) => ask('GET', path),
        post: (path, body, more) => ask('POST', path, body, more),
        put: (path, body) => ask('PUT', path, body),
        // A change of an order, with a key of its own, and its outcome.
        change: (id, path, body = {}) => ask('POST', `api/orders/${id}/${path}`, body,
            { 'idempotency-key': randomUUID(), prefer: 'wait=10' }),
        // A product with so many units in the main warehouse.
        stock: async (id, name, quantity, more = {}) => {
            await ask('PUT', `api/inventory/products/${id}`, { name, low_stock_at: 5, ...more });
            if (quantity > 0) {
                await ask('POST', `api/inventory/products/${id}/movements`, { kind: 'receive', quantity, reference: 'PO-17' });
            }
        },
        // An order, and its outcome. `more`: its payment.
        order: (lines, customer = 'ana', more = {}) => ask('POST', 'api/orders', {
            customer_id: customer,
            ...more,
            products: lines.map(([id, quantity, price = 19.99]) => ({ product_id: id, quantity, price })),
        }, { prefer: 'wait=10' }),
    };
}

// Publishes one message on a subject of a NATS server, in the name of who publishes there.
// `provoke` makes them publish something, which tells their name.
export async function forge(natsUrl, subject, text, provoke) {
    const { hostname, port } = new URL(natsUrl);
    const socket = connect(Number(port), hostname);
    let heard = '';
    socket.on('data', (data) => { heard += data.toString('latin1'); });
    try {
        socket.write(`CONNECT {"verbose":false,"headers":true}\r\nSUB ${subject} 1\r\nPING\r\n`);
        await eventually('the server listens', () => heard.includes('PONG'));
        await provoke();
        const sender = await eventually('a message is heard', () => /^Lastro-Sender: *(\S+)/m.exec(heard)?.[1]);
        const head = `NATS/1.0\r\nLastro-Sender: ${sender}\r\n\r\n`;
        const lengths = `${head.length} ${head.length + Buffer.byteLength(text)}`;
        heard = '';
        socket.write(`HPUB ${subject} ${lengths}\r\n${head}${text}\r\nPING\r\n`);
        await eventually('the message is published', () => heard.includes('PONG'));
    } finally {
        socket.end();
    }
}

// A way to a server that can be closed: then everything waits in it, as on a broken line.
export async function line(toUrl) {
    const { hostname, port } = new URL(toUrl);
    let isClosed = false;
    const ends = new Set();
    const server = createServer((near) => {
        const far = connect(Number(port), hostname);
        for (const [from, to] of [[near, far], [far, near]]) {
            ends.add(from);
            from.on('data', (data) => to.write(data));
            from.on('error', () => to.destroy());
            from.on('close', () => { ends.delete(from); to.destroy(); });
            if (isClosed) from.pause();
        }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
        url: `nats://127.0.0.1:${server.address().port}`,
        close: () => { isClosed = true; ends.forEach((end) => end.pause()); },
        open: () => { isClosed = false; ends.forEach((end) => end.resume()); },
        stop: () => { ends.forEach((end) => end.destroy()); server.close(); },
    };
}

// A gateway that publishes what deploy/Caddyfile does, before one program that has both services.
export async function gateway(toUrl) {
    const { hostname, port, host } = new URL(toUrl);
    const text = await readFile(join(ROOT, 'deploy/Caddyfile'), 'utf8');
    const handled = /@([\w-]+) path (.+)\n\thandle @\1 \{\n(?:\t\turi strip_prefix (\S+)\n)?\t\timport \w+-service\n/g;
    const routes = [...text.matchAll(handled)].map(([, , paths, prefix = '']) => ({ paths: paths.split(' '), prefix }));
    assert.equal(routes.length, 5, 'the gateway publishes other things than this test knows');
    const matches = (path, pattern) => pattern.endsWith('/*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
    const server = createHttpServer((asked, answer) => {
        const path = asked.url.split('?')[0];
        const route = routes.find(({ paths }) => paths.some((pattern) => matches(path, pattern)));
        if (!route) return answer.writeHead(404).end();
        const options = { hostname, port, method: asked.method, path: asked.url.slice(route.prefix.length), headers: { ...asked.headers, host } };
        const passed = httpRequest(options, (its) => its.pipe(answer.writeHead(its.statusCode, its.headers)));
        passed.on('error', () => answer.destroy());
        answer.on('close', () => passed.destroy());
        return asked.pipe(passed);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
        url: `http://127.0.0.1:${server.address().port}/`,
        stop: () => { server.close(); server.closeAllConnections(); },
    };
}

let browser;
export async function openBrowser() {
    browser = await chromium.launch({
        executablePath: CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync'],
    });
}
export const closeBrowser = () => browser.close();

// A window of its own, with a reader's preferences. `expected`: statuses of answers that are errors
// and belong to the test, or other words; a browser writes every such answer to its console. `beside`:
// another window, of the same reader. `prepare` gets the page before it asks for anything.
export async function open(url, { hash = '', theme = 'light', language = 'en-US', width = 1280, height = 900, expected = [], scale = 1, beside, prepare } = {}) {
    const context = beside?.context ?? await browser.newContext({
        viewport: { width, height }, colorScheme: theme, locale: language, timezoneId: 'America/Sao_Paulo', deviceScaleFactor: scale,
        hasTouch: width < 500,
    });
    const faults = [];
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => faults.push(`an error in the page: ${error.stack}`));
    page.on('console', (message) => {
        if (!['error', 'warning'].includes(message.type())) return;
        const text = message.text();
        if (expected.some((its) => text.includes(typeof its === 'number' ? `status of ${its}` : its))) return;
        faults.push(`the console: ${text} (${message.location().url})`);
    });
    // WebSockets, frames and so on would be requests too.
    page.on('request', (request) => {
        const { protocol, hostname } = new URL(request.url());
        if (protocol !== 'data:' && protocol !== 'blob:' && hostname !== '127.0.0.1') faults.push(`a request to ${request.url()}`);
    });
    await prepare?.(page);
    await page.goto(url + hash);
    await page.locator('h1').first().waitFor();
    return { page, context, check: () => check(page, faults), close: () => finish(page, beside ? page : context, faults) };
}

// Nothing went wrong so far, the page fits its window, and it can be used by everybody.
async function check(page, faults) {
    assert.deepEqual(faults, []);
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(tooWide <= 0, `the page is ${tooWide} pixels wider than its window`);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const severe = violations.filter((its) => ['serious', 'critical'].includes(its.impact));
    assert.deepEqual(severe.map((its) => `${its.id}: ${its.help}: ${its.nodes.slice(0, 3).map((node) => node.html).join(' ')}`), []);
}

async function finish(page, owner, faults) {
    try {
        await check(page, faults);
    } finally {
        await owner.close();
    }
}

// Keeps a picture of the page below target/browser/.
export async function picture(page, name) {
    await mkdir(PICTURES, { recursive: true });
    await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

// Waits until a condition holds, with a deadline.
export async function eventually(what, condition) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
        const answer = await condition();
        if (answer) return answer;
        assert.ok(Date.now() < end, `${what}, in vain`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}
