// One order: what was ordered, what became of it, its money, and what happened to it in both services.
import { html, useMemo, useState } from '../html.js';
import { useResource } from '../resource.js';
import { link } from '../store.js';
import { between, duration, moment, number, precise, t } from '../text.js';
import { Ask, Button, Card, Copy, Empty, Loaded, ProductLink, Status, Title, shortId } from '../ui.js';
import { TextField, sayDone, useChange } from './order/form.js';
import { Items } from './order/items.js';
import { Pay, Payment, PaymentState, Refund } from './order/money.js';
import { CancelUnits, Cancellations, Returns, TakeBack } from './order/returns.js';
import { CancelShipment, Ship, Shipments, Track } from './order/shipments.js';
import { Timeline } from './order/timeline.js';
import { allowed, held, nextAction, settledAt } from './order/units.js';

// Of the money, what somebody should do something about is shown beside the status.
const URGENT = ['due', 'refund_due'];
const FORMS = { cancel: Cancel, pay: Pay, refund: Refund, ship: Ship, track: Track, unship: CancelShipment, cancelUnits: CancelUnits, takeBack: TakeBack };

export function OrderPage({ id }) {
    const changes = (frame) => frame.orders?.has(id);
    const order = useResource(`api/orders/${encodeURIComponent(id)}`, { changes });
    const reservation = useResource(`api/inventory/reservations/${encodeURIComponent(id)}`, { changes });
    const { data } = order;
    const known = useNames(data);
    const [asking, setAsking] = useState(null);
    const may = useMemo(() => (data ? allowed(data) : {}), [data]);
    const reload = () => {
        order.reload();
        reservation.reload();
    };
    const onAsk = (form, shipment) => setAsking({ form, shipmentId: shipment?.shipment_id });
    const onClose = (answer) => {
        setAsking(null);
        if (answer) reload();
    };
    const Form = asking && FORMS[asking.form];
    const shipment = asking && data?.shipments.find((its) => its.shipment_id === asking.shipmentId);
    const back = { href: link(['orders']), text: t('orders.title') };
    return html`
        <${Title} text=${t('order.title', { id: shortId(id) })} back=${back}
            note=${html`<span class="mono id">${id}</span> <${Copy} text=${id} label=${t('order.copy')} />`}>
            ${data && html`<${Status} is=${data.status} />`}
            ${URGENT.includes(data?.payment?.state) && html`<${PaymentState} is=${data.payment.state} />`}
            ${data && html`<${Actions} order=${data} may=${may} onAsk=${onAsk} />`}
        <//>
        <${Loaded} its=${order} rows=${8} absent=${html`<${Empty} icon="search" title=${t('problem.order_not_found')} />`}>${(its) => html`
            <${Shortages} order=${its} names=${known.names} />
            <div class="columns one-order">
                <div class="main stack">
                    <${Items} order=${its} may=${may} known=${known} onAsk=${onAsk} />
                    <${Shipments} order=${its} may=${may} known=${known} onAsk=${onAsk} />
                    <${Returns} order=${its} may=${may} known=${known} onAsk=${onAsk} />
                    <${Cancellations} order=${its} known=${known} />
                    <${Timeline} order=${its} reservation=${reservation} known=${known} />
                </div>
                <aside class="side stack">
                    <${Payment} order=${its} may=${may} onAsk=${onAsk} />
                    <${Facts} order=${its} />
                    <${Allocations} order=${its} known=${known} />
                </aside>
            </div>`}<//>
        ${Form && data && html`<${Form} order=${data} shipment=${shipment} known=${known} onClose=${onClose} onRefused=${reload} />`}`;
}

// What the products and the locations of an order are called.
function useNames(order) {
    const ids = useMemo(() => [...new Set((order?.products ?? []).map((its) => its.product_id))].slice(0, 100).join(','), [order]);
    const products = useResource(ids ? 'api/inventory/products' : null, { query: { ids, limit: 100 } });
    const locations = useResource(ids ? 'api/inventory/locations' : null, { query: { limit: 200 } });
    return useMemo(() => ({
        names: Object.fromEntries((products.data?.data ?? []).map((its) => [its.product_id, its.name])),
        places: Object.fromEntries((locations.data?.data ?? []).map((its) => [its.location_id, its.name])),
    }), [products.data, locations.data]);
}

// What is likely next, as the first thing to do. The other actions are beside what they change.
function Actions({ order, may, onAsk }) {
    const next = nextAction(order, may);
    return html`${may.cancel && html`<${Button} onClick=${() => onAsk('cancel')}>${t('order.cancel')}<//>`}
        ${next && html`<${Button} kind="primary" onClick=${() => onAsk(next)}>${t(`${next}.do`)}<//>`}`;
}

function Shortages({ order, names }) {
    if (order.shortages.length === 0) return null;
    const key = order.status === 'rejected' ? 'order.rejected' : 'order.not-revived';
    return html`<div class="note bad" role="note"><div>
        <strong>${t(key)}</strong>
        <ul>${order.shortages.map((its) => html`<li key=${its.product_id}>
            ${t(its.reason === 'unknown_product' ? 'order.short.unknown' : 'order.short', {
                product: html`<b><${ProductLink} id=${its.product_id} name=${names[its.product_id] ? `${names[its.product_id]} (${its.product_id})` : its.product_id} /></b>`,
                requested: its.requested,
                available: its.available,
            })}</li>`)}</ul>
        <p>${t(`${key}.note`)}</p>
    </div></div>`;
}

function Facts({ order }) {
    const settled = settledAt(order);
    return html`<${Card} title=${t('order.facts')}><dl class="facts">
        <dt>${t('orders.customer')}</dt><dd><a href=${link(['orders'], { customer: order.customer_id })}>${order.customer_id}</a></dd>
        <dt>${t('orders.placed')}</dt><dd title=${precise(order.created_at)}>${moment(order.created_at)}</dd>
        <dt>${t('orders.settled')}</dt><dd>${settled ? duration(between(order.created_at, settled)) : t('order.not-settled')}</dd>
        <dt>${t('order.fulfillment')}</dt><dd>${t(`extent.${order.fulfillment}`)}</dd>
        ${order.fulfillment !== 'none' && html`<dt>${t('order.returns')}</dt><dd>${t(`extent.${order.returns_status}`)}</dd>`}
    </dl><//>`;
}

// Where the units of the order are, or were while it had them.
function Allocations({ order, known }) {
    const left = Object.fromEntries(held(order).map((its) => [`${its.product_id} ${its.location_id}`, its.quantity]));
    return html`<${Card} title=${t('order.allocations')}>
        ${order.allocations.length === 0 ? html`<p class="card-text muted">${t('order.allocations.none')}</p>`
            : html`<ul class="rows">${order.allocations.map((its) => {
                const out = its.quantity - (left[`${its.product_id} ${its.location_id}`] ?? 0);
                return html`<li key=${`${its.product_id} ${its.location_id}`}>
                    <div>${t('order.allocation', {
                        quantity: html`<b>${number(its.quantity)}</b>`,
                        product: html`<${ProductLink} id=${its.product_id} name=${known.names[its.product_id]} />`,
                    })}</div>
                    <div class="end muted">${known.places[its.location_id] ?? its.location_id}
                        ${out > 0 && html` <small>${t('order.allocation.out', { n: out })}</small>`}</div></li>`;
            })}</ul>`}
    <//>`;
}

function Cancel({ order, onClose, onRefused }) {
    const [reason, setReason] = useState('');
    const send = useChange(order, 'cancel', onRefused);
    const submit = () => send.submit(reason.trim() ? { reason: reason.trim() } : {});
    const done = (answer) => {
        if (answer) sayDone('order.cancel.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('order.cancel.title')} action=${t('order.cancel.do')} kind="danger" send=${send} onClose=${done} onSubmit=${submit}>
        <p>${t('order.cancel.note')}${order.payment?.paid > 0 && ` ${t('cancel-units.note.paid')}`}</p>
        <${TextField} label=${t('form.reason')} value=${reason} onText=${setReason} />
    <//>`;
}
