// The first page: how the shop is now.
import { html, useEffect, useMemo, useState } from '../html.js';
import { isAbsent, request } from '../api.js';
import { Chart } from '../chart.js';
import { useHealth } from '../health.js';
import { isHearing, liveState, traffic } from '../live.js';
import { useResource } from '../resource.js';
import { link, useNow, useStore } from '../store.js';
import { Ago, Foreign, ago, between, clock, duration, has, money, number, rate, t } from '../text.js';
import { Card, Empty, Icon, Loaded, OrderLink, ProductLink, ProblemNote, Status, Table, Title } from '../ui.js';
import { settledAt } from './order/units.js';
import { Waiting, useWaiting } from './order/waiting.js';
import { STATUSES } from './orders.js';
import { Meter } from './stock.js';

const WINDOWS = [60, 300, 900];
const KINDS = ['received', 'confirmed', 'rejected'];
const STROKES = { received: 'blue', confirmed: 'green-fill', rejected: 'red' };
// The rate is the mean of so many seconds.
const RATE_S = 10;
// The times to settle are those of so many orders, and are read at most this often.
const SETTLED = 10;
const SETTLED_LEAST_MS = 5000;
// So many orders whose money waits are shown.
const WAITING = 5;

export function Overview() {
    const health = useHealth();
    return html`
        <${Title} text=${t('overview.title')} note=${t('overview.note', { time: clock(traffic.since * 1000) })} />
        <${Attention} health=${health} />
        <div class="tiles">
            <${OrdersTile} />
            <${SettleTile} />
            <${PendingTile} health=${health} />
            <${BalanceTile} health=${health} />
        </div>
        <div class="columns even">
            <${TrafficCard} />
            <${HealthCard} health=${health} />
        </div>
        <${MoneyWaiting} />
        <div class="columns even">
            <${NewestOrders} />
            <${LowStock} />
        </div>`;
}

// The orders whose money waits for somebody, if there are any.
function MoneyWaiting() {
    const due = useWaiting('due', WAITING);
    const owed = useWaiting('refund_due', WAITING);
    if (!due.data?.data.length && !owed.data?.data.length) return null;
    return html`<div class="columns halves"><${Waiting} payment="due" orders=${due} /><${Waiting} payment="refund_due" orders=${owed} /></div>`;
}

function Attention({ health }) {
    if (health.troubles.length === 0) return null;
    return html`<a class="note warn attention" href=${link(['trouble'])}>
        <${Icon} name="trouble" />
        <span>${health.troubles.map((kind) => html`<span key=${kind}>${t(`attention.${kind}`, { n: health.counts[kind] })}</span>`)}</span>
        <span class="go">${t('attention.look')} <${Icon} name="right" size=${14} /></span>
    </a>`;
}

function Tile({ label, value, note, kind = '', href }) {
    const content = html`<span class="tile-label">${label}</span>
        <span class=${`tile-value ${kind}`}>${value}</span>
        <span class="tile-note">${note}</span>`;
    return href ? html`<a class="tile card" href=${href}>${content}</a>` : html`<div class="tile card">${content}</div>`;
}

function OrdersTile() {
    useNow();
    const [, received] = traffic.window(RATE_S, ['received']);
    const mean = received.reduce((sum, n) => sum + n, 0) / Math.max(1, received.length);
    useStore(liveState);
    const isKnown = isHearing();
    return html`<${Tile} label=${t('tile.rate')} value=${isKnown ? rate(mean) : '–'} note=${isKnown ? t('tile.rate.note', { n: RATE_S }) : t('tile.rate.none')}
        href=${link(['orders'])} />`;
}

// How long the newest orders took to be settled, in milliseconds. Only an order's history says when it
// was settled first, and that does not change: each is read once, one after another.
function useSettleTimes() {
    const orders = useResource('api/orders', {
        query: { status: STATUSES.filter((its) => its !== 'received').join(','), limit: SETTLED },
        changes: (frame) => frame.orders,
        least: SETTLED_LEAST_MS,
    });
    const [known, setKnown] = useState(new Map());
    useEffect(() => {
        const controller = new AbortController();
        const { signal } = controller;
        const read = async () => {
            const next = new Map();
            for (const { order_id: id } of orders.data?.data ?? []) {
                next.set(id, known.get(id) ?? settledIn(await request(`api/orders/${id}`, { signal })));
            }
            setKnown(next);
        };
        read().catch(() => { /* The next list begins anew. */ });
        return () => controller.abort();
    }, [orders.data]);
    return [...known.values()].filter((ms) => ms !== null).sort((a, b) => a - b);
}

function settledIn(order) {
    const at = settledAt(order);
    return at ? between(order.created_at, at) : null;
}

function SettleTile() {
    const spans = useSettleTimes();
    const note = spans.length === 0 ? t('tile.settle.none')
        : t('tile.settle.note', { slowest: duration(spans.at(-1)), n: spans.length });
    const value = spans.length === 0 ? '–' : duration(spans[Math.floor(spans.length / 2)]);
    return html`<${Tile} label=${t('tile.settle')} value=${value} note=${note} />`;
}

function PendingTile({ health }) {
    const { data } = health.pending;
    const isLate = health.counts.late > 0;
    const note = !data ? '' : data.total === 0 ? t('tile.pending.none')
        : t('tile.pending.note', { age: duration((data.oldest_age_s ?? 0) * 1000) });
    return html`<${Tile} label=${t('tile.pending')} value=${data ? number(data.total) : '–'} note=${note}
        kind=${isLate ? 'bad' : ''} href=${link(['trouble'])} />`;
}

function BalanceTile({ health }) {
    const now = useNow();
    const { checkedAt, violations, isAudited: known, isBalanced } = health;
    const state = violations > 0 ? 'bad' : isBalanced ? 'good' : 'unchecked';
    const word = known ? t(`tile.balance.${state}`) : '–';
    const kind = state === 'unchecked' ? 'warn' : state;
    const note = violations > 0 ? t('tile.balance.violations', { n: violations })
        : checkedAt ? t('tile.balance.note', { ago: ago(checkedAt, now) }) : t('tile.balance.never');
    const value = known ? html`<${Icon} name=${state === 'good' ? 'check' : 'trouble'} size=${22} />${word}` : word;
    return html`<${Tile} label=${t('tile.balance')} value=${value} note=${note} kind=${known ? kind : ''} href=${link(['trouble'])} />`;
}

function TrafficCard() {
    const now = useNow();
    const [length, setLength] = useState(300);
    const second = Math.floor(now / 1000);
    const data = useMemo(() => smooth(traffic.window(length, KINDS), length), [second, length]);
    const totals = data.totals;
    const series = KINDS.map((kind) => ({
        label: t(`status.${kind}`), stroke: STROKES[kind], fill: kind === 'received', total: number(Math.round(totals[kind])),
    }));
    const text = t('chart.orders.text', {
        time: duration(Math.min(length, second - traffic.since) * 1000),
        received: Math.round(totals.received),
        confirmed: Math.round(totals.confirmed),
        rejected: Math.round(totals.rejected),
    });
    const choices = html`<div class="segmented" role="group" aria-label=${t('chart.window')}>${WINDOWS.map((its) => html`
        <button key=${its} type="button" aria-pressed=${its === length ? 'true' : 'false'} onClick=${() => setLength(its)}>
            ${duration(its * 1000)}</button>`)}</div>`;
    return html`<${Card} title=${t('chart.orders')} note=${t('chart.orders.unit')} actions=${choices} kind="main">
        <${Chart} series=${series} data=${data.lists} label=${t('chart.orders')} value=${rate} height=${232} />
        <p class="hidden">${text}</p>
    <//>`;
}

// Means over some seconds, so that a line says more than its noise.
function smooth([times, ...lists], length) {
    const width = length <= 60 ? 2 : length <= 300 ? 5 : 10;
    const totals = Object.fromEntries(KINDS.map((kind, at) => [kind, lists[at].reduce((sum, n) => sum + n, 0)]));
    const means = lists.map((list) => list.map((_, at) => {
        const part = list.slice(Math.max(0, at - width + 1), at + 1);
        return part.reduce((sum, n) => sum + n, 0) / part.length;
    }));
    return { lists: [times, ...means], totals };
}

function HealthCard({ health }) {
    const { ready } = health;
    const absent = html`<${Empty} icon="check" title=${t('health.elsewhere')} />`;
    return html`<${Card} title=${t('health.title')} kind="side">
        ${ready.problem && !isAbsent(ready.problem)
            ? html`<${ProblemNote} problem=${ready.problem} onRetry=${ready.reload} />`
            : html`<${Loaded} its=${ready} rows=${4} absent=${absent}>${(data) => html`<ul class="checks">
                ${(data.checks ?? []).map((its) => html`<li key=${its.name}>
                    <i class=${`dot ${its.status === 'up' ? 'green' : 'amber'}`}></i>
                    <span>${has(`check.${its.name}`) ? t(`check.${its.name}`) : html`<${Foreign}>${its.name}<//>`}</span>
                    <span class="end">${t(`health.${its.status}`)}</span>
                    ${its.detail && html`<${Foreign} tag="small">${its.detail}<//>`}
                </li>`)}
                ${!data.checks?.length && html`<li><i class=${`dot ${data.status === 'ready' ? 'green' : 'amber'}`}></i>
                    <span>${t('health.program')}</span><span class="end">${t(`health.${data.status}`)}</span></li>`}
            </ul>`}<//>`}
        <${Audits} health=${health} />
    <//>`;
}

function Audits({ health }) {
    if (health.invariants.length === 0) return null;
    const checked = health.invariants.reduce((sum, its) => sum + its.checked, 0);
    return html`<p class="card-foot">${t('health.audit', { n: health.invariants.length, checked })}</p>`;
}

function NewestOrders() {
    const orders = useResource('api/orders', { query: { limit: 8 }, changes: (frame) => frame.orders });
    const more = html`<a href=${link(['orders'])}>${t('overview.all-orders')}</a>`;
    const columns = [{ title: t('orders.id') }, { title: t('orders.customer'), kind: 'wide' }, { title: t('orders.status') },
        { title: t('orders.total'), kind: 'num' }, { title: t('orders.placed'), kind: 'num' }];
    return html`<${Card} title=${t('overview.newest')} actions=${more} kind="main">
        <${Loaded} its=${orders} rows=${8}>${({ data }) => (data.length === 0
            ? html`<${Empty} icon="orders" title=${t('orders.none')}>${t('orders.none.note')}<//>`
            : html`<${Table} caption=${t('overview.newest')} columns=${columns}>${data.map((order) => html`
                <tr key=${order.order_id}>
                    <th scope="row"><${OrderLink} id=${order.order_id} /></th>
                    <td class="wide muted">${order.customer_id}</td>
                    <td><${Status} is=${order.status} /></td>
                    <td class="num">${money(order.total, order.currency)}</td>
                    <td class="num muted"><${Ago} at=${order.created_at} /></td>
                </tr>`)}<//>`)}<//>
    <//>`;
}

function LowStock() {
    const low = useResource('api/inventory/products', {
        query: { low_stock: true, limit: 8 }, changes: (frame) => frame.inventory, least: 3000,
    });
    const more = html`<a href=${link(['stock'], { low: 1 })}>${t('overview.all-low')}</a>`;
    const absent = html`<${Empty} icon="stock" title=${t('stock.elsewhere')}>${t('stock.elsewhere.note')}<//>`;
    return html`<${Card} title=${t('overview.low')} actions=${more} kind="side">
        <${Loaded} its=${low} rows=${5} absent=${absent}>${({ data }) => (data.length === 0
            ? html`<${Empty} icon="check" title=${t('overview.low.none')}>${t('overview.low.none.note')}<//>`
            : html`<ul class="rows">${data.map((its) => html`<li key=${its.product_id}>
                <div><${ProductLink} id=${its.product_id} name=${its.name} /><small class="mono muted">${its.product_id}</small></div>
                <div class="end"><b class="warn-text">${number(its.available)}</b>${' '}
                    <small class="muted">${t('stock.low-at', { n: its.low_stock_at ?? 0 })}</small></div>
                <${Meter} product=${its} />
            </li>`)}</ul>`)}<//>
    <//>`;
}
