// What happens in the services, as it happens: two streams of summaries, put together into at most
// four frames a second, however many orders flow. A page that nobody sees has no streams, and at most
// two windows of a browser have them; the others ask.
import { Problem, authorization, problemOf, session, signOut, url } from './api.js';
import { store, visible } from './store.js';

const FRAME_MS = 250;
const BACKOFF_MS = [1000, 2000, 5000, 10_000, 30_000];
// A stream sends a heartbeat every 15 s. One that is silent for longer is dead.
const SILENCE_MS = 40_000;
// Without streams the pages ask: seldom if the feed is not available, more often if other windows have it.
const POLL_MS = 5000;
const POLL_QUICKLY_MS = 2000;
// A browser opens six connections to a service. The two streams of a window hold two of them, so a third
// window with streams would leave none for requests. Without locks (plain HTTP) windows cannot agree.
const PLACES = ['lastro.stream.1', 'lastro.stream.2'];
const PLACE_MS = 500;
const MAX_SUBJECTS = 50;

// `live`, `connecting`, `polling` (the feed is not available here) or `paused` (nobody looks).
export const liveState = store('connecting');
const listeners = new Set();

// Calls back with each frame: `frame.orders` and `frame.inventory` say what changed.
export function onFrame(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
}

class Changes {
    constructor() {
        this.counts = {};
        this.subjects = new Set();
        this.isAll = false;
    }

    add({ counts = {}, subjects = [] }) {
        for (const [type, n] of Object.entries(counts)) this.counts[type] = (this.counts[type] ?? 0) + n;
        for (const subject of subjects) this.subjects.add(subject);
        // The list is cut off: anything may have changed.
        if (subjects.length >= MAX_SUBJECTS || this.subjects.size > 4 * MAX_SUBJECTS) this.isAll = true;
    }

    has(subject) {
        return this.isAll || this.subjects.has(subject);
    }

    hasProduct(id) {
        return this.isAll || [...this.subjects].some((subject) => subject.startsWith(`${id}/`));
    }
}

let pending = {};
let timer = 0;

function note(service, change) {
    pending[service] ??= new Changes();
    change(pending[service]);
    timer ||= setTimeout(send, FRAME_MS);
}

function send() {
    const frame = pending;
    pending = {};
    timer = 0;
    for (const listener of [...listeners]) listener(frame);
    dispatchEvent(new Event('lastro:frame'));
}

// Notes that anything may have changed: after a gap, or when somebody looks again.
export function changedAll() {
    note('orders', (changes) => { changes.isAll = true; });
    note('inventory', (changes) => { changes.isAll = true; });
}

// Orders per second since the page was opened, for 15 minutes at most.
export const SECONDS = 900;
const KINDS = ['received', 'confirmed', 'rejected', 'cancelled', 'fulfilled'];
class Traffic {
    constructor() {
        this.counts = Object.fromEntries(KINDS.map((kind) => [kind, new Float64Array(SECONDS)]));
        this.since = Math.floor(Date.now() / 1000);
        this.last = this.since;
    }

    advance(second) {
        for (let at = Math.max(this.last + 1, second - SECONDS + 1); at <= second; at += 1) {
            for (const kind of KINDS) this.counts[kind][at % SECONDS] = 0;
        }
        this.last = Math.max(this.last, second);
    }

    // Counts of `over` seconds: after a gap, they belong to all of it.
    add(counts, over) {
        const second = Math.floor(Date.now() / 1000);
        this.advance(second);
        const width = Math.max(1, Math.min(over, second - this.since + 1, SECONDS - 1));
        for (const kind of KINDS) {
            const n = counts[`dev.lastro.order.${kind}`] ?? 0;
            for (let back = 0; n && back < width; back += 1) {
                this.counts[kind][(second - back) % SECONDS] += n / width;
            }
        }
    }

    // The last seconds that are over: [times, …one list per kind].
    window(length, kinds) {
        const end = Math.floor(Date.now() / 1000) - 1;
        this.advance(end + 1);
        const start = Math.max(this.since, end - Math.min(length, SECONDS - 2) + 1);
        const times = [];
        for (let at = start; at <= end; at += 1) times.push(at);
        return [times, ...kinds.map((kind) => times.map((at) => this.counts[kind][at % SECONDS]))];
    }
}
export const traffic = new Traffic();

const streams = {
    orders: { path: 'api/orders/events', state: 'connecting', heardAt: 0 },
    inventory: { path: 'api/inventory/events', state: 'connecting', heardAt: 0 },
};
let controller = null;
// Whether this window has a place among those with streams.
let hasPlace = false;

// Windows with streams tell the others what they hear, but never what only a key may see.
const channel = globalThis.BroadcastChannel && new BroadcastChannel(`lastro.summaries ${url('')}`);
if (channel) {
    channel.onmessage = ({ data: { name, summary } }) => {
        if (controller && !hasPlace && session.get() === 'open') take(name, summary);
    };
}

// Whether orders are counted here: by this window, or by another one that tells it.
export const isHearing = () => hasPlace ? streams.orders.state !== 'polling' : session.get() === 'open' && Boolean(channel);

function take(name, summary) {
    const stream = streams[name];
    if (name === 'orders') traffic.add(summary.counts, Math.round((Date.now() - stream.heardAt) / 1000));
    stream.heardAt = Date.now();
    note(name, (changes) => changes.add(summary));
}

function show() {
    const states = Object.values(streams).map((its) => its.state);
    if (!controller) liveState.set('paused');
    else if (states.includes('connecting')) liveState.set('connecting');
    else liveState.set(states.includes('live') ? 'live' : 'polling');
}

async function run(name, signal) {
    const stream = streams[name];
    let last = null;
    stream.heardAt = Date.now();
    for (let attempt = 0; !signal.aborted; attempt += 1) {
        stream.state = 'connecting';
        show();
        try {
            await listen(stream, last, signal, (message) => {
                attempt = 0;
                if (message.event !== 'summary') return;
                last = message.id || last;
                const summary = JSON.parse(message.data);
                take(name, summary);
                if (session.get() === 'open') channel?.postMessage({ name, summary });
            }, () => {
                if (!last) stream.heardAt = Date.now();
                stream.state = 'live';
                show();
                // What changed between the answers on the page and the beginning of the stream.
                note(name, (changes) => { changes.isAll = true; });
            });
        } catch (problem) {
            if (signal.aborted) return;
            if (problem.status === 401) {
                signOut();
                return;
            }
            // A cursor of another database: begin at its end.
            if (problem.code === 'invalid_cursor') last = null;
            const isHopeless = [403, 404, 405, 406, 422].includes(problem.status);
            if (isHopeless) {
                stream.state = 'polling';
                show();
                return;
            }
            const pause = BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length - 1)];
            stream.state = attempt > 1 ? 'polling' : 'connecting';
            show();
            await sleep(Math.max(problem.retryAfterMs ?? 0, pause * (0.75 + Math.random() / 2)), signal);
        }
    }
}

// Reads one stream until it ends, which is an error like any other.
async function listen(stream, last, signal, onMessage, onOpen) {
    const own = new AbortController();
    const stop = () => own.abort();
    signal.addEventListener('abort', stop);
    let watchdog = setTimeout(stop, SILENCE_MS);
    const cursor = last ? { 'last-event-id': last } : {};
    try {
        const response = await fetch(url(stream.path, { summary_ms: FRAME_MS, after: last ? null : 'latest' }), {
            headers: { ...authorization(), ...cursor, accept: 'text/event-stream' },
            signal: own.signal,
            cache: 'no-store',
            credentials: 'omit',
        });
        const type = response.headers.get('content-type') ?? '';
        if (!response.ok) throw await problemOf(response);
        if (!type.startsWith('text/event-stream')) throw new Problem({ status: 406, code: 'no_stream' });
        onOpen();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = '';
        for (;;) {
            const { done, value } = await reader.read();
            if (done) throw new Problem({ status: 0, code: 'ended' });
            clearTimeout(watchdog);
            watchdog = setTimeout(stop, SILENCE_MS);
            const blocks = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
            rest = blocks.pop();
            for (const block of blocks) onMessage(parse(block));
        }
    } finally {
        clearTimeout(watchdog);
        signal.removeEventListener('abort', stop);
        own.abort();
    }
}

function parse(block) {
    const message = { event: 'message', data: '', id: '' };
    for (const line of block.split('\n')) {
        const at = line.indexOf(':');
        if (at <= 0) continue;
        const value = line.slice(at + 1).replace(/^ /, '');
        const name = line.slice(0, at);
        if (name === 'data') message.data += (message.data ? '\n' : '') + value;
        else message[name] = value;
    }
    return message;
}

function sleep(ms, signal) {
    return new Promise((resolve) => {
        const done = () => {
            clearTimeout(its);
            signal.removeEventListener('abort', done);
            resolve();
        };
        const its = setTimeout(done, ms);
        signal.addEventListener('abort', done);
    });
}

// Waits for a place among the windows with streams, and keeps it until `signal`.
function takePlace(signal, onPlace) {
    if (!navigator.locks) {
        onPlace();
        return;
    }
    const waiting = new AbortController();
    signal.addEventListener('abort', () => waiting.abort());
    let isTaken = false;
    for (const place of PLACES) {
        navigator.locks.request(place, { signal: waiting.signal }, () => {
            if (isTaken || signal.aborted) return undefined;
            isTaken = true;
            waiting.abort();
            onPlace();
            return new Promise((resolve) => signal.addEventListener('abort', resolve));
        }).catch(() => { /* the other place was free first, or nobody looks any more */ });
    }
    setTimeout(() => {
        if (isTaken || signal.aborted) return;
        setAll('polling');
    }, PLACE_MS);
}

function setAll(state) {
    for (const stream of Object.values(streams)) stream.state = state;
    show();
}

function update() {
    const wanted = visible.get() && session.get() !== 'needed';
    if (wanted === Boolean(controller)) return;
    if (!wanted) {
        controller.abort();
        controller = null;
        hasPlace = false;
        show();
        return;
    }
    controller = new AbortController();
    const { signal } = controller;
    setAll('connecting');
    for (const stream of Object.values(streams)) stream.heardAt = Date.now();
    takePlace(signal, () => {
        hasPlace = true;
        for (const name of Object.keys(streams)) run(name, signal);
    });
    changedAll();
}

export function startLive() {
    visible.watch(update);
    session.watch((state) => {
        // Another key may see other things: begin anew.
        if (controller) {
            controller.abort();
            controller = null;
            hasPlace = false;
        }
        if (state !== 'needed') update();
        else show();
    });
    const ask = () => Object.values(streams).some((its) => its.state === 'polling') && changedAll();
    setInterval(() => controller && hasPlace && ask(), POLL_MS);
    setInterval(() => controller && !hasPlace && ask(), POLL_QUICKLY_MS);
    update();
}
