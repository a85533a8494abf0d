// What may need attention, for the menu, the overview and the page of troubles.
import { createContext, html, useContext, useMemo } from './html.js';
import { isAbsent } from './api.js';
import { useResource } from './resource.js';

// A command normally takes milliseconds. After this long, somebody should look.
export const LATE_S = 30;
const EVERY_MS = 10_000;
const Health = createContext(null);

export const useHealth = () => useContext(Health);

export function WithHealth({ children }) {
    const every = EVERY_MS;
    const ready = useResource('readyz', { every });
    const pending = useResource('api/orders/pending', { query: { limit: 1 }, every, changes: (frame) => frame.orders });
    const late = useResource('api/orders/pending', { query: { older_than_s: LATE_S, limit: 1 }, every });
    const audits = [useResource('api/orders/audit', { every }), useResource('api/inventory/audit', { every })];
    const query = { seen: false, limit: 200 };
    const quarantine = [
        useResource('api/orders/quarantine', { query, every }),
        useResource('api/inventory/quarantine', { query, every }),
    ];
    const all = [ready, pending, late, ...audits, ...quarantine];
    const value = useMemo(() => summary(ready, pending, late, audits, quarantine), all.flatMap((its) => [its.data, its.problem]));
    return html`<${Health.Provider} value=${value}>${children}<//>`;
}

function summary(ready, pending, late, audits, quarantine) {
    const invariants = merged(audits.flatMap((its) => its.data?.invariants ?? []));
    const violations = invariants.reduce((sum, its) => sum + its.violations, 0);
    const isFailing = audits.some((its) => its.data?.failing);
    const times = audits.map((its) => its.data && (its.data.last_step_at ?? its.data.round?.ended_at)).filter(Boolean);
    const entries = quarantine.flatMap((its) => its.data?.data ?? []);
    const isReady = ready.data?.status === 'ready';
    const isDown = ready.problem && !isAbsent(ready.problem);
    const counts = {
        late: late.data?.total ?? 0,
        quarantine: entries.length,
        violations,
        audit: isFailing ? 1 : 0,
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
        checkedAt: times.sort()[0],
        counts,
        // Each kind of trouble that there is.
        troubles: Object.keys(counts).filter((kind) => counts[kind] > 0),
        total: counts.late + counts.quarantine + counts.violations + counts.audit + counts.health,
        reload: () => [ready, pending, late, ...audits, ...quarantine].forEach((its) => its.reload()),
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
