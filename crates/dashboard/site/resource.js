// Data of a page: fetched when it is shown, again when it changed, and at most once a second.
import { useCallback, useEffect, useRef, useState } from './html.js';
import { isAbsent, request, session } from './api.js';
import { onFrame } from './live.js';
import { visible } from './store.js';

const MIN_MS = 1000;

// `changes(frame, data)` says whether a frame changes what is shown. `every`: also asked in this
// interval (ms). `path` null: nothing is asked. The answer stays on the page while the next is on its way.
export function useResource(path, { query = {}, changes, every, least = MIN_MS } = {}) {
    const [state, setState] = useState({ key: null, data: undefined, problem: null, busy: true });
    const key = path && JSON.stringify([path, query]);
    const now = useRef({});
    now.current.changes = changes;
    now.current.data = state.key === key ? state.data : undefined;
    const reload = useRef(() => {});

    useEffect(() => {
        if (!key) return undefined;
        const controller = new AbortController();
        let busy = false;
        let again = false;
        let started = 0;
        let isGone = false;
        let timer = 0;
        const fetchIt = async () => {
            timer = 0;
            if (busy) {
                again = true;
                return;
            }
            busy = true;
            again = false;
            started = Date.now();
            setState((old) => (old.key === key ? { ...old, busy: true } : { key, data: undefined, problem: null, busy: true }));
            try {
                const data = await request(path, { query, signal: controller.signal });
                if (!controller.signal.aborted) setState({ key, data, problem: null, busy: false });
            } catch (problem) {
                if (controller.signal.aborted) return;
                // A route that does not exist here does not come into being.
                isGone = isAbsent(problem);
                setState((old) => ({ key, data: old.key === key ? old.data : undefined, problem, busy: false }));
            }
            busy = false;
            if (again) later();
        };
        // Nothing is asked for while nobody looks, also if somebody looked when it was planned.
        const whenSeen = () => {
            timer = 0;
            if (visible.get()) fetchIt();
        };
        const later = () => {
            if (!timer && !isGone && visible.get()) timer = setTimeout(whenSeen, Math.max(0, started + least - Date.now()));
        };
        reload.current = () => {
            clearTimeout(timer);
            return fetchIt();
        };
        const stops = [
            onFrame((frame) => {
                if (now.current.changes?.(frame, now.current.data)) later();
            }),
            visible.watch((is) => is && later()),
            session.watch((is) => is === 'signed-in' && later()),
        ];
        const interval = every && setInterval(later, every);
        fetchIt();
        return () => {
            controller.abort();
            clearTimeout(timer);
            clearInterval(interval);
            stops.forEach((stop) => stop());
        };
    }, [key, every]);

    const its = state.key === key ? state : { data: undefined, problem: null, busy: Boolean(key) };
    const load = useCallback(() => reload.current(), []);
    return { data: its.data, problem: its.problem, busy: its.busy, reload: load };
}

// Pages of a list: the cursors of those before are kept, so that one can go back.
export function usePages(reset) {
    const [cursors, setCursors] = useState({ reset, list: [null] });
    const list = cursors.reset === reset ? cursors.list : [null];
    return {
        cursor: list.at(-1),
        number: list.length,
        next: (cursor) => setCursors({ reset, list: [...list, cursor] }),
        back: () => setCursors({ reset, list: list.length > 1 ? list.slice(0, -1) : list }),
    };
}

// Sends a form: one request at a time, and what came of it.
export function useSend(send) {
    const [state, setState] = useState({ busy: false, problem: null });
    const busy = useRef(false);
    const submit = async (...args) => {
        if (busy.current) return undefined;
        busy.current = true;
        setState({ busy: true, problem: null });
        try {
            const answer = await send(...args);
            setState({ busy: false, problem: null });
            return answer;
        } catch (problem) {
            setState({ busy: false, problem });
            return undefined;
        } finally {
            busy.current = false;
        }
    };
    return { ...state, submit };
}
