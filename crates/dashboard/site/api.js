// Requests to the services: with the key, with a deadline, and with errors that a page can show.
import { store } from './store.js';

// The key lives here and nowhere else, until the page is closed.
let key = null;
// `open`: nobody asked for a key. `needed`: the service asks. `signed-in`: there is one.
export const session = store('open');

export function signIn(text) {
    key = text;
    session.set('signed-in');
}

export function signOut() {
    key = null;
    session.set('needed');
}

export const authorization = () => (key ? { authorization: `Bearer ${key}` } : {});

const DEADLINE_MS = 20_000;
const RETRIES_MS = [400, 1500];
const PAUSES = new Set([429, 503]);

// An answer that is an error, or no answer at all (`status` 0).
export class Problem extends Error {
    constructor(fields) {
        super(fields.detail ?? fields.title ?? fields.code);
        Object.assign(this, fields);
    }
}

// An Idempotency-Key: one per form, so that a second click is the same request.
export const newKey = () => crypto.randomUUID?.() ??
    [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export function url(path, query = {}) {
    const its = new URL(path, document.baseURI);
    its.hash = '';
    for (const [name, value] of Object.entries(query)) {
        if (value !== undefined && value !== null && value !== '') its.searchParams.set(name, value);
    }
    return its;
}

// Reads a problem document, or makes one of whatever came instead.
export async function problemOf(response) {
    const fields = { status: response.status, requestId: response.headers.get('x-request-id') };
    const pause = Number(response.headers.get('retry-after'));
    if (pause > 0) fields.retryAfterMs = pause * 1000;
    try {
        const { code, title, detail, request_id: requestId, errors } = await response.json();
        return new Problem({ ...fields, code, title, detail, errors: errors ?? [], requestId: requestId ?? fields.requestId });
    } catch {
        return new Problem({ ...fields, code: 'unreadable', detail: `HTTP ${response.status}`, errors: [] });
    }
}

// Sends a request. A reading one is repeated if the service was busy or the network failed.
export async function request(path, options = {}) {
    const { method = 'GET', query, body, headers = {}, signal, deadline = DEADLINE_MS } = options;
    const pauses = method === 'GET' ? RETRIES_MS : [];
    for (let attempt = 0; ; attempt += 1) {
        const problem = await tryOnce();
        if (!(problem instanceof Problem)) return problem;
        const isWorthIt = problem.status === 0 || PAUSES.has(problem.status);
        if (!isWorthIt || attempt >= pauses.length || signal?.aborted) throw problem;
        await new Promise((resolve) => setTimeout(resolve, Math.min(problem.retryAfterMs ?? pauses[attempt], 5000)));
        if (signal?.aborted) throw problem;
    }

    async function tryOnce() {
        const sent = { ...authorization(), accept: 'application/json', ...headers };
        const isJson = body !== undefined && !(body instanceof Blob);
        if (isJson) sent['content-type'] = 'application/json';
        const limits = [AbortSignal.timeout(deadline), ...(signal ? [signal] : [])];
        let response;
        try {
            response = await fetch(url(path, query), {
                method,
                headers: sent,
                body: isJson ? JSON.stringify(body) : body,
                signal: anyOf(limits),
                cache: 'no-store',
                credentials: 'omit',
            });
            if (response.ok) return options.raw ? response : await response.json();
        } catch (error) {
            if (signal?.aborted) throw error;
            return new Problem({ status: 0, code: 'unreachable', errors: [] });
        }
        if (response.status === 401) signOut();
        return problemOf(response);
    }
}

function anyOf(signals) {
    if (AbortSignal.any) return AbortSignal.any(signals);
    const controller = new AbortController();
    for (const its of signals) its.addEventListener('abort', () => controller.abort(its.reason), { once: true });
    return controller.signal;
}

// Whether the route does not exist here: the program serves the other service only, or an older API.
export const isAbsent = (problem) => problem?.code === 'not_found' || problem?.code === 'method_not_allowed';

// Whether a page is there for a browser, which sends no key. One that says that the service is not
// ready is there.
export async function exists(path) {
    try {
        const { status } = await fetch(url(path), { method: 'HEAD', signal: AbortSignal.timeout(DEADLINE_MS), credentials: 'omit' });
        return status < 400 || status >= 500;
    } catch {
        return false;
    }
}

// Lines of JSON, one by one, as they arrive.
export async function* lines(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    try {
        for (;;) {
            const { done, value } = await reader.read();
            const parts = (rest + (value ?? '')).split('\n');
            rest = done ? '' : parts.pop();
            for (const part of parts) if (part.trim()) yield JSON.parse(part);
            if (done) return;
        }
    } finally {
        reader.cancel().catch(() => {});
    }
}
