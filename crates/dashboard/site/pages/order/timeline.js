// What happened to an order in both services, by time.
import { html, useMemo } from '../../html.js';
import { isAbsent } from '../../api.js';
import { Ago, between, duration, list, money, precise, t } from '../../text.js';
import { Card, Status } from '../../ui.js';
import { returnLine } from './returns.js';
import { unitsAt } from './shipments.js';

// Statuses that the order has until Inventory answers.
const IN_FLIGHT = ['received', 'amending', 'cancelling', 'fulfilling', 'expiring', 'reviving'];

// What an entry is called: by what a client did, or else by the status that the order got. That changes
// were carried out is no news about the status, unless they fulfilled the order.
function kindOf(entry, before) {
    if (entry.change) return entry.change.type;
    return before?.status === 'amending' && entry.status === 'confirmed' ? 'amended' : entry.status;
}

export function Timeline({ order, reservation, known }) {
    const entries = useMemo(() => {
        const history = order.history.map((entry, at) => {
            const before = order.history[at - 1];
            const isNews = entry.change && entry.status !== before?.status && !IN_FLIGHT.includes(entry.status);
            return { at: entry.at, kind: kindOf(entry, before), entry, isNews, service: 'orders', key: `o${entry.seq}` };
        });
        const groups = new Map();
        for (const its of reservation.data?.movements ?? []) {
            const key = `${its.created_at} ${its.kind}`;
            const group = groups.get(key) ?? { at: its.created_at, kind: its.kind, movements: [], service: 'inventory', key };
            group.movements.push(its);
            groups.set(key, group);
        }
        return [...history, ...groups.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    }, [order, reservation.data]);
    return html`<${Card} title=${t('order.timeline')} note=${t('order.timeline.note')} kind="last">
        <ol class="timeline">${entries.map((its, at) => html`<li key=${its.key} class=${its.service}>
            <i class=${`dot ${its.service === 'orders' ? its.kind.replace('.', '-') : 'stock'}`} aria-hidden="true"></i>
            <div><strong>${t(`event.${its.kind}`)}</strong>${its.isNews && html`<${Status} is=${its.entry.status} />`}
                <span class="service">${t(`service.${its.service}`)}</span>
                <p class="muted">${its.service === 'orders' ? html`<${Said} entry=${its.entry} order=${order} known=${known} />`
                    : html`<${Moved} movements=${its.movements} known=${known} />`}</p>
            </div>
            <time datetime=${its.at} title=${precise(its.at)}>${at === 0 ? html`<${Ago} at=${its.at} />` : `+${duration(Math.max(0, between(entries[0].at, its.at)))}`}</time>
        </li>`)}</ol>
        ${reservation.problem && !isAbsent(reservation.problem) && reservation.problem.code !== 'reservation_not_found'
            && html`<p class="card-text muted">${t('order.timeline.partial')}</p>`}
    <//>`;
}

// What an entry says beside its name: the units or the money, by whom, and why.
function Said({ entry, order, known }) {
    const { change, actor, reason } = entry;
    const parts = [change && whatOf(change, order, known), actor && actor !== 'system' && t('event.by', { who: actor }),
        reason && html`<q>${reason}</q>`].filter(Boolean);
    return parts.map((its, at) => html`${at > 0 && ' · '}${its}`);
}

function whatOf({ type, amount, reference, lines, tracking }, order, known) {
    if (reference !== undefined) return t('event.money', { amount: money(amount, order.currency), reference });
    if (type === 'return.created') return list(lines.map((line) => returnLine(line, known)));
    if (lines) return unitsAt(lines, known, type === 'shipment.created' ? 'event.units.from' : 'event.units');
    return tracking && html`<span translate="no">${[tracking.carrier, tracking.number].filter(Boolean).join(' ')}</span>`;
}

function Moved({ movements, known }) {
    // A movement of returned units counts those that are back in the stock. How many came back, the order's
    // own entry says.
    const unitsOf = (its) => (its.kind === 'return' ? undefined : Math.abs(its.reserved_delta || its.on_hand_delta));
    const shown = movements.slice(0, 6).map((its) => ({ ...its, quantity: unitsOf(its) }));
    const more = movements.length - shown.length;
    return `${unitsAt(shown, known)}${more > 0 ? `; ${t('event.more', { n: more })}` : ''}`;
}
