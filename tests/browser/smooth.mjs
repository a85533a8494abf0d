// Measures what the page costs while many orders flow: node smooth.mjs [--short] [URL]
//
// It starts the program at $LASTRO, which should be a release build, on a temporary folder, or takes
// services that run already. While 2000 orders a second flow, it prints how much processor time the
// service takes without a page and with one on the overview, in turns, and how much memory the page
// holds after its first minute and after five. `--short` tries the script itself, with few orders and
// a few seconds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { LASTRO, client, closeBrowser, open, openBrowser, start } from './harness.mjs';

const isShort = process.argv.includes('--short');
const target = process.argv.slice(2).find((its) => !its.startsWith('--'));
const RATE = isShort ? 50 : 2000;
// Without a page, with one, and the same again.
const SPAN_S = isShort ? 4 : 60;
const SETTLE_S = isShort ? 1 : 5;
// When the memory is read, after the page was opened.
const HEAP_S = isShort ? [3, 8] : [60, 300];
const MAX_CORES = 0.20;
const MAX_GROWTH = 5_000_000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, seconds) * 1000));

const shop = target ? { url: target, stop: async () => {} } : await start([]);
const bench = load(shop.url);
let failed = false;
try {
    await openBrowser();
    await accepted();
    const costs = await processorTime();
    const heap = await memory();
    failed = Math.max(...costs) >= MAX_CORES || heap[1] - heap[0] >= MAX_GROWTH;
} finally {
    bench.kill('SIGTERM');
    await closeBrowser();
    await shop.stop();
}
process.exit(failed && !isShort ? 1 : 0);

function load(url) {
    const seconds = 4 * (SPAN_S + SETTLE_S) + HEAP_S[1] + 60;
    const args = ['bench', '--url', url.replace(/\/$/, ''), '--rate', String(RATE), '--duration', `${seconds}s`];
    const its = spawn(LASTRO, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    its.stderr.on('data', (data) => { text = (text + data).slice(-10_000); });
    its.on('exit', (status) => {
        if (status) console.error(`the bench ended:\n${text}`);
    });
    return its;
}

async function metric(name) {
    const text = await (await fetch(new URL('metrics', shop.url))).text();
    const found = text.split('\n').find((row) => row.startsWith(`${name} `) || row.startsWith(`${name}{`));
    assert.ok(found, `${name} is not among the metrics`);
    return Number(found.split(' ').at(-1));
}

// Waits until the bench has made its products and its orders flow.
async function accepted() {
    for (let n = 0; n < 300; n += 1) {
        const { data } = await client(shop.url).get('api/orders?limit=50');
        if (data.length === 50) return;
        await sleep(0.2);
    }
    assert.fail('no orders flow');
}

async function cores() {
    await sleep(SETTLE_S);
    const [before, begun] = [await metric('process_cpu_seconds_total'), performance.now()];
    await sleep(SPAN_S);
    return (await metric('process_cpu_seconds_total') - before) / ((performance.now() - begun) / 1000);
}

// The processor time of the service: what one page adds to it, in cores.
async function processorTime() {
    const costs = [];
    for (let turn = 1; turn <= 2; turn += 1) {
        const without = await cores();
        const its = await open(shop.url, { hash: '#/overview' });
        const withPage = await cores();
        await its.context.close();
        costs.push(withPage - without);
        console.log(`turn ${turn}: ${without.toFixed(3)} cores without a page, ${withPage.toFixed(3)} with one: `
            + `${(withPage - without).toFixed(3)} for the page (less than ${MAX_CORES})`);
    }
    return costs;
}

// What the page holds after a forced collection, in bytes.
async function memory() {
    const its = await open(shop.url, { hash: '#/overview' });
    const begun = performance.now();
    const session = await its.context.newCDPSession(its.page);
    const sizes = [];
    for (const second of HEAP_S) {
        await sleep(second - (performance.now() - begun) / 1000);
        // The second collection takes what the first one has set free for it.
        await session.send('HeapProfiler.collectGarbage');
        await session.send('HeapProfiler.collectGarbage');
        const { usedSize } = await session.send('Runtime.getHeapUsage');
        sizes.push(usedSize);
        console.log(`heap of the page after ${second} s: ${(usedSize / 1e6).toFixed(2)} MB`);
    }
    console.log(`growth: ${((sizes[1] - sizes[0]) / 1e6).toFixed(2)} MB (less than ${MAX_GROWTH / 1e6})`);
    const orders = await its.page.locator('.tile', { hasText: 'Orders per second' }).locator('.tile-value').textContent();
    console.log(`the page shows ${orders} orders per second`);
    await its.context.close();
    return sizes;
}
