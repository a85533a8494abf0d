// One order: what was ordered, where it comes from, and what happened to it in both services.
import { html, useMemo, useState } from '../html.js';
import { isAbsent, request } from '../api.js';
import { useResource, useSend } from '../resource.js';
import { link } from '../store.js';
import { Ago, between, duration, list, moment, money, number, precise, t, times } from '../text.js';
import { Ask, Button, Card, Copy, Empty, Field, Loaded, ProductLink, Status, Table, Title, say, shortId } from '../ui.js';

const WAIT = { prefer: 'wait=5' };

export function OrderPage({ id }) {
    const order = useResource(`api/orders/${encodeURIComponent(id)}`, { changes: (frame) => frame.orders?.has(id) });
    const reservation = useResource(`api/inventory/reservations/${encodeURIComponent(id)}`, {
        changes: (frame) => frame.orders?.has(id),
    });
    const { data } = order;
    const ids = useMemo(() => [...new Set((data?.products ?? []).map((its) => its.product_id))].slice(0, 100).join(','), [data]);
    const products = useResource(ids ? 'api/inventory/products' : null, { query: { ids, limit: 100 } });
    const names = useMemo(() => Object.fromEntries((products.data?.data ?? []).map((its) => [its.product_id, its.name])), [products.data]);
    const [asking, setAsking] = useState(null);
    const reload = () => {
        order.reload();
        reservation.reload();
    };
    const back = { href: link(['orders']), text: t('orders.title') };
    return html`
        <${Title} text=${t('order.title', { id: shortId(id) })} back=${back}
            note=${html`<span class="mono id">${id}</span> <${Copy} text=${id} label=${t('order.copy')} />`}>
            ${data && html`<${Status} is=${data.status} />`}
            ${data && ['received', 'confirmed'].includes(data.status) && html`
                <${Button} onClick=${() => setAsking('cancel')}>${t('order.cancel')}<//>`}
            ${data?.status === 'confirmed' && html`
                <${Button} kind="primary" onClick=${() => setAsking('fulfill')}>${t('order.fulfill')}<//>`}
        <//>
        <${Loaded} its=${order} rows=${8} absent=${html`<${Empty} icon="search" title=${t('problem.order_not_found')} />`}>${(its) => html`
            <${Shortages} order=${its} names=${names} />
            <div class="columns">
                <div class="main stack">
                    <${Lines} order=${its} names=${names} />
                    <${Timeline} order=${its} reservation=${reservation} names=${names} />
                </div>
                <${Facts} order=${its} names=${names} />
            </div>`}<//>
        ${asking === 'cancel' && html`<${Cancel} id=${id} onClose=${(answer) => { setAsking(null); if (answer) reload(); }} />`}
        ${asking === 'fulfill' && html`<${Fulfill} id=${id} order=${data} onClose=${(answer) => { setAsking(null); if (answer) reload(); }} />`}`;
}

function Shortages({ order, names }) {
    if (order.shortages.length === 0) return null;
    return html`<div class="note bad" role="note"><div>
        <strong>${t('order.rejected')}</strong>
        <ul>${order.shortages.map((its) => html`<li key=${its.product_id}>
            ${t(its.reason === 'unknown_product' ? 'order.short.unknown' : 'order.short', {
                product: html`<b><${ProductLink} id=${its.product_id} name=${names[its.product_id] ? `${names[its.product_id]} (${its.product_id})` : its.product_id} /></b>`,
                requested: its.requested,
                available: its.available,
            })}</li>`)}</ul>
        <p>${t('order.rejected.note')}</p>
    </div></div>`;
}

function Lines({ order, names }) {
    const columns = [{ title: t('order.product') }, { title: t('order.quantity'), kind: 'num' },
        { title: t('order.price'), kind: 'num' }, { title: t('order.sum'), kind: 'num' }];
    return html`<${Card} title=${t('order.lines')} note=${t('order.lines.n', { n: order.products.length })}>
        <${Table} caption=${t('order.lines')} columns=${columns}>
            ${order.products.map((line, at) => html`<tr key=${at}>
                <th scope="row"><${ProductLink} id=${line.product_id} name=${names[line.product_id]} />
                    ${names[line.product_id] && html`<small class="mono muted">${line.product_id}</small>`}</th>
                <td class="num">${number(line.quantity)}</td>
                <td class="num">${money(line.price, order.currency)}</td>
                <td class="num">${money(times(line.price, line.quantity, order.currency), order.currency)}</td>
            </tr>`)}
            <tr class="total"><th scope="row" colspan="3">${t('orders.total')}</th><td class="num">${money(order.total, order.currency)}</td></tr>
        <//>
    <//>`;
}

function Facts({ order, names }) {
    const settled = order.history.find((its) => ['confirmed', 'rejected', 'cancelled'].includes(its.status));
    return html`<aside class="side stack">
        <${Card} title=${t('order.facts')}><dl class="facts">
            <dt>${t('orders.customer')}</dt><dd><a href=${link(['orders'], { customer: order.customer_id })}>${order.customer_id}</a></dd>
            <dt>${t('orders.total')}</dt><dd>${money(order.total, order.currency)}</dd>
            <dt>${t('orders.placed')}</dt><dd title=${precise(order.created_at)}>${moment(order.created_at)}</dd>
            <dt>${t('orders.settled')}</dt><dd>${settled ? duration(between(order.created_at, settled.at)) : t('order.not-settled')}</dd>
        </dl><//>
        <${Card} title=${t('order.allocations')}>
            ${order.allocations.length === 0 ? html`<p class="card-text muted">${t('order.allocations.none')}</p>`
                : html`<ul class="rows">${order.allocations.map((its) => html`<li key=${`${its.product_id} ${its.location_id}`}>
                    <div>${t('order.allocation', {
                        quantity: html`<b>${number(its.quantity)}</b>`,
                        product: html`<${ProductLink} id=${its.product_id} name=${names[its.product_id]} />`,
                    })}</div>
                    <div class="end muted">${its.location_id}</div></li>`)}</ul>`}
        <//>
    </aside>`;
}

// The order's history and the movements of its reservation, by time.
function Timeline({ order, reservation, names }) {
    const entries = useMemo(() => {
        const history = order.history.map((its) => ({ at: its.at, kind: its.status, entry: its, service: 'orders' }));
        const groups = new Map();
        for (const its of reservation.data?.movements ?? []) {
            const key = `${its.created_at} ${its.kind}`;
            const group = groups.get(key) ?? { at: its.created_at, kind: its.kind, movements: [], service: 'inventory' };
            group.movements.push(its);
            groups.set(key, group);
        }
        return [...history, ...groups.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    }, [order, reservation.data]);
    return html`<${Card} title=${t('order.timeline')} note=${t('order.timeline.note')}>
        <ol class="timeline">${entries.map((its, at) => html`<li key=${`${its.service} ${its.at} ${its.kind}`} class=${its.service}>
            <i class=${`dot ${its.service === 'orders' ? its.kind : 'stock'}`} aria-hidden="true"></i>
            <div><strong>${t(`event.${its.kind}`)}</strong>
                <span class="service">${t(`service.${its.service}`)}</span>
                <p class="muted">${its.service === 'orders' ? html`<${Said} entry=${its.entry} />` : html`<${Moved} movements=${its.movements} names=${names} />`}</p>
            </div>
            <time datetime=${its.at} title=${precise(its.at)}>${at === 0 ? html`<${Ago} at=${its.at} />` : `+${duration(Math.max(0, between(entries[0].at, its.at)))}`}</time>
        </li>`)}</ol>
        ${reservation.problem && !isAbsent(reservation.problem) && reservation.problem.code !== 'reservation_not_found'
            && html`<p class="card-text muted">${t('order.timeline.partial')}</p>`}
    <//>`;
}

function Said({ entry }) {
    const who = entry.actor && entry.actor !== 'system' ? t('event.by', { who: entry.actor }) : '';
    return html`${who}${entry.reason && html`${who && ' · '}<q>${entry.reason}</q>`}`;
}

function Moved({ movements, names }) {
    const shown = movements.slice(0, 6).map((its) => t('event.units', {
        n: Math.abs(its.reserved_delta || its.on_hand_delta),
        product: names[its.product_id] ?? its.product_id,
        location: its.location_id,
    }));
    if (movements.length > 6) shown.push(t('event.more', { n: movements.length - 6 }));
    return list(shown);
}

function Cancel({ id, onClose }) {
    const [reason, setReason] = useState('');
    const send = useSend(() => request(`api/orders/${id}/cancel`, {
        method: 'POST', headers: WAIT, body: reason.trim() ? { reason: reason.trim() } : {},
    }));
    const done = (answer) => {
        if (answer) say(t('order.cancel.done', { status: t(`status.${answer.status}`) }));
        onClose(answer);
    };
    return html`<${Ask} title=${t('order.cancel.title')} action=${t('order.cancel.do')} kind="danger" send=${send} onClose=${done} onSubmit=${send.submit}>
        <p>${t('order.cancel.note')}</p>
        <${Field} label=${t('form.reason')} hint=${t('form.optional')}>${(its) => html`<input ...${its} value=${reason} maxlength="200"
            onInput=${(event) => setReason(event.target.value)} />`}<//>
    <//>`;
}

function Fulfill({ id, order, onClose }) {
    const send = useSend(() => request(`api/orders/${id}/fulfill`, { method: 'POST', headers: WAIT, body: {} }));
    const units = order.allocations.reduce((sum, its) => sum + its.quantity, 0);
    const done = (answer) => {
        if (answer) say(t('order.fulfill.done', { status: t(`status.${answer.status}`) }));
        onClose(answer);
    };
    return html`<${Ask} title=${t('order.fulfill.title')} action=${t('order.fulfill.do')} send=${send} onClose=${done} onSubmit=${send.submit}>
        <p>${t('order.fulfill.note', { n: units })}</p>
    <//>`;
}
