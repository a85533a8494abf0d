// What happened to an order in both services, by time.
import { html, useMemo } from '../../html.js';
import { isAbsent } from '../../api.js';
import { Ago, between, duration, list, money, precise, t } from '../../text.js';
import { Card } from '../../ui.js';
import { unitsAt } from './shipments.js';

// The words of an entry: of what a client did, or else of the status that the order got.
const kindOf = (entry) => entry.change?.type ?? entry.status;

export function Timeline({ order, reservation, known }) {
    const entries = useMemo(() => {
        const history = order.history.map((its) => ({ at: its.at, kind: kindOf(its), entry: its, service: 'orders', key: `o${its.seq}` }));
        const groups = new Map();
        for (const its of reservation.data?.movements ?? []) {
            const key = `${its.created_at} ${its.kind}`;
            const group = groups.get(key) ?? { at: its.created_at, kind: its.kind, movements: [], service: 'inventory', key };
            group.movements.push(its);
            groups.set(key, group);
        }
        return [...history, ...groups.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    }, [order, reservation.data]);
    return html`<${Card} title=${t('order.timeline')} note=${t('order.timeline.note')}>
        <ol class="timeline">${entries.map((its, at) => html`<li key=${its.key} class=${its.service}>
            <i class=${`dot ${its.service === 'orders' ? its.kind : 'stock'}`} aria-hidden="true"></i>
            <div><strong>${t(`event.${its.kind}`)}</strong>
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

// What an entry says beside its words: the units or the money, by whom, and why.
function Said({ entry, order, known }) {
    const { change, actor, reason } = entry;
    const parts = [change && whatOf(change, entry.seq, order, known), actor && actor !== 'system' && t('event.by', { who: actor }),
        reason && html`<q>${reason}</q>`].filter(Boolean);
    return parts.map((its, at) => html`${at > 0 && ' · '}${its}`);
}

function whatOf(change, seq, order, known) {
    const isIts = (id) => String(id) === String(change.shipment_id ?? change.return_id ?? seq);
    if (change.amount !== undefined && change.reference) return t('event.money', { amount: money(change.amount, order.currency), reference: change.reference });
    const shipment = order.shipments.find((its) => isIts(its.shipment_id));
    const lines = change.lines ?? shipment?.lines ?? order.returns.find((its) => isIts(its.return_id))?.lines;
    return lines && unitsAt(lines, known);
}

function Moved({ movements, known }) {
    const shown = movements.slice(0, 6).map((its) => unitsAt([{ ...its, quantity: Math.abs(its.reserved_delta || its.on_hand_delta) }], known));
    if (movements.length > 6) shown.push(t('event.more', { n: movements.length - 6 }));
    return list(shown);
}
