// Values that several views watch, and what is remembered between visits.
import { useEffect, useState } from './html.js';

// A value with listeners. `set` tells them only if the value is another one.
export function store(value) {
    const listeners = new Set();
    return {
        get: () => value,
        set(next) {
            if (Object.is(next, value)) return;
            value = next;
            for (const listener of [...listeners]) listener(value);
        },
        watch(listener) {
            listeners.add(listener);
            return () => listeners.delete(listener);
        },
    };
}

export function useStore(its) {
    const [value, set] = useState(its.get());
    useEffect(() => {
        set(its.get());
        return its.watch(set);
    }, [its]);
    return value;
}

// Preferences only: never the key. A browser may forbid storage, and then nothing is remembered.
export function remembered(name, allowed, otherwise) {
    let kept = null;
    try {
        kept = localStorage.getItem(`lastro.${name}`);
    } catch { /* not allowed */ }
    const its = store(allowed.includes(kept) ? kept : otherwise);
    its.watch((value) => {
        try {
            localStorage.setItem(`lastro.${name}`, value);
        } catch { /* not allowed */ }
    });
    return its;
}

// Whether the page can be seen.
export const visible = store(document.visibilityState !== 'hidden');
document.addEventListener('visibilitychange', () => {
    visible.set(document.visibilityState !== 'hidden');
});

// The time, for ages that are shown. It stands still while nobody looks.
const now = store(Date.now());
setInterval(() => visible.get() && now.set(Date.now()), 1000);
visible.watch((is) => is && now.set(Date.now()));
export const useNow = () => useStore(now);

// The address behind `#`: a path and its parameters.
function address() {
    const [path, query] = location.hash.replace(/^#/, '').split('?');
    const parts = path.split('/').filter(Boolean).map((part) => {
        try {
            return decodeURIComponent(part);
        } catch {
            return part;
        }
    });
    return { parts, query: new URLSearchParams(query ?? '') };
}
export const place = store(address());

// What the reader is asked before the page is left, while leaving would break something off.
let question = null;
export const askBeforeLeaving = (words) => { question = words; };
export const mayLeave = () => !question || confirm(question);
addEventListener('beforeunload', (event) => {
    if (question) event.preventDefault();
});
let shown = location.hash;
addEventListener('hashchange', () => {
    if (location.hash === shown) return;
    if (!mayLeave()) {
        history.replaceState(null, '', shown || location.pathname + location.search);
        return;
    }
    question = null;
    shown = location.hash;
    place.set(address());
});

// The address of a page of this site.
export function link(path, query = {}) {
    const parts = path.map(encodeURIComponent).join('/');
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
        if (value !== undefined && value !== null && value !== '') search.set(name, value);
    }
    const text = search.toString();
    return `#/${parts}${text ? `?${text}` : ''}`;
}
