// What may need attention, for the menu, the overview and the page of troubles.
import { createContext, html, useContext, useMemo, useRef } from './html.js';
import { isAbsent } from './api.js';
import { useResource } from './resource.js';

// A command normally takes milliseconds. After this long, somebody should look.
export const LATE_S = 30;
const EVERY_MS = 10_000;
// An auditor pauses for 30 s at most. One that has ended no step for this long has stopped.
const SILENT_MS = 120_000;
// Money that is owed is counted up to so many orders.
const MAX_OWED = 100;
const Health = createContext(null);

export const useHealth = () => useContext(Health);

export function WithHealth({ children }) {
    const every = EVERY_MS;
    const ready = useResource('readyz', { every });
    const pending = useResource('api/orders/pending', { query: { limit: 1 }, every, changes: (frame) => frame.orders });
    const owed = useResource('api/orders', { query: { payment: 'refund_due', limit: MAX_OWED }, every });
    const late = useResource('api/orders/pending', { query: { older_than_s: LATE_S, limit: 1 }, every });
    const audits = [useAudit('api/orders/audit'), useAudit('api/inventory/audit')];
    const query = { seen: false, limit: 200 };
    const quarantine = [
        useResource('api/orders/quarantine', { query, every }),
        useResource('api/inventory/quarantine', { query, every }),
    ];
    const all = [ready, pending, late, owed, ...audits, ...quarantine];
    const value = useMemo(() => summary(ready, pending, late, owed, audits, quarantine), all.flatMap((its) => [its.data, its.problem]));
    return html`<${Health.Provider} value=${value}>${children}<//>`;
}

// What the auditors of a service have done, and their state: `absent`, `loading`, `unknown` (the service
// does not say), `stopped`, `failing`, `waiting` (for the first step) or `good`.
function useAudit(path) {
    const its = useResource(path, { every: EVERY_MS });
    const { data, problem } = its;
    const step = useRef({ at: null, movedAt: 0 }).current;
    // The clocks may differ, so a time that moves is a sign of life as well.
    const isRecent = useMemo(() => {
        const at = data?.last_step_at ?? null;
        const now = Date.now();
        if (step.at && at && at !== step.at) step.movedAt = now;
        step.at = at;
        return now - step.movedAt < SILENT_MS || Math.abs(now - Date.parse(at)) < SILENT_MS;
    }, [data]);
    let state = 'good';
    if (isAbsent(problem)) state = 'absent';
    else if (problem) state = 'unknown';
    else if (!data) state = 'loading';
    else if (!data.running) state = 'stopped';
    else if (data.failing) state = 'failing';
    else if (!data.last_step_at) state = 'waiting';
    else if (!isRecent) state = 'stopped';
    return { ...its, state };
}

function summary(ready, pending, late, owed, audits, quarantine) {
    const invariants = merged(audits.flatMap((its) => its.data?.invariants ?? []));
    const violations = invariants.reduce((sum, its) => sum + its.violations, 0);
    const states = audits.map((its) => its.state).filter((its) => its !== 'absent');
    const isFailing = states.includes('failing');
    const isStopped = states.includes('stopped');
    const times = audits.map((its) => its.data && (its.data.last_step_at ?? its.data.round?.ended_at)).filter(Boolean);
    const entries = quarantine.flatMap((its) => its.data?.data ?? []);
    const isReady = ready.data?.status === 'ready';
    const isDown = ready.problem && !isAbsent(ready.problem);
    const counts = {
        late: late.data?.total ?? 0,
        owed: owed.data?.data.length ?? 0,
        quarantine: entries.length,
        violations,
        audit: isFailing ? 1 : 0,
        stopped: isStopped ? 1 : 0,
        health: isDown || (ready.data && !isReady) ? 1 : 0,
    };
    return {
        ready,
        pending,
        audits,
        quarantine,
        invariants,
        violations,
        isFailing,
        isStopped,
        // Whether there is an audit, and whether all of them check and none has found anything.
        isAudited: states.length > 0 && !states.includes('loading'),
        isBalanced: violations === 0 && states.length > 0 && states.every((its) => its === 'good'),
        checkedAt: times.sort()[0],
        counts,
        // Each kind of trouble that there is.
        troubles: Object.keys(counts).filter((kind) => counts[kind] > 0),
        total: Object.values(counts).reduce((sum, n) => sum + n, 0),
        reload: () => [ready, pending, late, owed, ...audits, ...quarantine].forEach((its) => its.reload()),
    };
}

// Both services check some invariants, each on its own database.
function merged(invariants) {
    const byName = new Map();
    for (const its of invariants) {
        const { checked = 0, violations = 0 } = byName.get(its.name) ?? {};
        byName.set(its.name, { ...its, checked: checked + its.checked, violations: violations + its.violations });
    }
    const number = (its) => Number(/\d+/.exec(its.name)?.[0] ?? 0);
    return [...byName.values()].sort((a, b) => number(a) - number(b));
}
