// The list of orders: by status, customer and time.
import { html, useEffect, useState } from '../html.js';
import { newKey, request } from '../api.js';
import { usePages, useResource, useSend } from '../resource.js';
import { link } from '../store.js';
import { Ago, duration, money, moment, t } from '../text.js';
import { Ask, Button, Card, Empty, Field, Icon, Loaded, OrderLink, Pager, Status, Table, Title, say } from '../ui.js';
import { PaymentState } from './order/money.js';

export const STATUSES = ['received', 'reserved', 'confirmed', 'rejected', 'amending', 'fulfilling', 'fulfilled', 'cancelling', 'cancelled',
    'expiring', 'expired', 'reviving'];
// Of the money of an order, what a list can be filtered by.
const PAYMENTS = ['due', 'refund_due'];
const WITHIN_S = [60, 900, 86_400];
const SPANS = { hour: 3600, day: 86_400, week: 604_800 };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const CUSTOMER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const go = (query) => { location.hash = link(['orders'], query); };

export function Orders({ query, config }) {
    const chosen = (query.get('status') ?? '').split(',').filter((its) => STATUSES.includes(its));
    const filters = Object.fromEntries(query);
    const range = useRange(query);
    const payment = PAYMENTS.find((its) => its === query.get('payment'));
    const sent = { status: chosen.join(','), payment, customer_id: query.get('customer'), ...range };
    const pages = usePages(JSON.stringify([chosen, filters]));
    const orders = useResource('api/orders', {
        query: { ...sent, limit: 25, cursor: pages.cursor },
        changes: (frame, data) => frame.orders && (pages.number === 1 || frame.orders.isAll
            || data?.data.some((its) => frame.orders.has(its.order_id))),
    });
    const [placing, setPlacing] = useState(false);
    return html`
        <${Title} text=${t('orders.title')} note=${t('orders.note')}>
            ${config.demo && html`<${Button} icon="plus" kind="primary" onClick=${() => setPlacing(true)}>${t('orders.place')}<//>`}
        <//>
        <${Filters} chosen=${chosen} filters=${filters} />
        <${Card}>
            <${Loaded} its=${orders} rows=${10}>${(page) => html`<${List} page=${page} isFiltered=${query.size > 0} />
                <${Pager} pages=${pages} next=${page.next_cursor} />`}<//>
        <//>
        ${placing && html`<${Place} currency=${config.currency} onClose=${() => setPlacing(false)} />`}`;
}

// The times of the filter. A span counts from now, once, so that pages follow each other.
function useRange(query) {
    const span = query.get('span');
    const [from, setFrom] = useState({});
    useEffect(() => {
        setFrom(SPANS[span] ? { span, from: new Date(Date.now() - SPANS[span] * 1000).toISOString() } : {});
    }, [span]);
    if (SPANS[span]) {
        return { from: from.span === span ? from.from : new Date(Math.floor(Date.now() / 60_000) * 60_000 - SPANS[span] * 1000).toISOString() };
    }
    const time = (name) => {
        const its = query.get(name) && new Date(query.get(name));
        return its && !Number.isNaN(its.getTime()) ? its.toISOString() : undefined;
    };
    return { from: time('from'), to: time('to') };
}

function Filters({ chosen, filters }) {
    const [text, setText] = useState(filters.customer ?? '');
    useEffect(() => setText(filters.customer ?? ''), [filters.customer]);
    const set = (more) => go({ ...filters, ...more });
    const toggle = (status) => {
        const list = chosen.includes(status) ? chosen.filter((its) => its !== status) : [...chosen, status];
        set({ status: STATUSES.filter((its) => list.includes(its)).join(',') });
    };
    const isWrong = text.trim() !== '' && !CUSTOMER.test(text.trim());
    const search = (event) => {
        event.preventDefault();
        const its = text.trim();
        if (UUID.test(its)) location.hash = link(['orders', its.toLowerCase()]);
        else if (!isWrong) set({ customer: its });
    };
    const span = filters.from !== undefined || filters.to !== undefined ? 'own' : filters.span ?? '';
    const onSpan = (event) => {
        const { value } = event.target;
        const { from, to, ...rest } = filters;
        const start = new Date(Date.now() - 86_400_000 - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
        go({ ...rest, span: value === 'own' ? '' : value, from: value === 'own' ? start : '' });
    };
    return html`<form class="filters" role="search" aria-label=${t('orders.filter')} onSubmit=${search}>
        <div class="search ${isWrong ? 'wrong' : ''}"><${Icon} name="search" />
            <input type="search" id="search" aria-label=${t('orders.search')} placeholder=${t('orders.search')} value=${text}
                aria-invalid=${isWrong ? 'true' : undefined} maxlength="64" autocomplete="off" spellcheck=${false}
                onInput=${(event) => setText(event.target.value)} onSearch=${search} />
        </div>
        <select aria-label=${t('orders.span')} value=${span} onChange=${onSpan}>
            <option value="">${t('span.all')}</option>
            ${Object.keys(SPANS).map((its) => html`<option key=${its} value=${its}>${t(`span.${its}`)}</option>`)}
            <option value="own">${t('span.own')}</option>
        </select>
        ${span === 'own' && html`<span class="range">${['from', 'to'].map((name) => html`<label key=${name}>${t(`span.${name}`)}
            <input type="datetime-local" value=${filters[name] ?? ''} onChange=${(event) => set({ [name]: event.target.value, span: '' })} /></label>`)}
        </span>`}
        <select aria-label=${t('orders.payment')} value=${PAYMENTS.includes(filters.payment) ? filters.payment : ''}
            onChange=${(event) => set({ payment: event.target.value })}>
            <option value="">${t('orders.payment.any')}</option>
            ${PAYMENTS.map((its) => html`<option key=${its} value=${its}>${t(`orders.payment.${its}`)}</option>`)}
        </select>
        <div class="chips" role="group" aria-label=${t('orders.status')}>${STATUSES.map((status) => html`
            <button key=${status} type="button" class=${`chip ${status}`} aria-pressed=${chosen.includes(status) ? 'true' : 'false'}
                onClick=${() => toggle(status)}>${t(`status.${status}`)}</button>`)}
            ${Object.keys(filters).length > 0 && html`<button type="button" class="chip plain" onClick=${() => go({})}>${t('orders.clear')}</button>`}
        </div>
    </form>`;
}

function List({ page, isFiltered }) {
    const { data } = page;
    if (data.length === 0) {
        return isFiltered ? html`<${Empty} icon="search" title=${t('orders.none.found')}>${t('orders.none.found.note')}<//>`
            : html`<${Empty} icon="orders" title=${t('orders.none')}>${t('orders.none.note')}<//>`;
    }
    const columns = [{ title: t('orders.id') }, { title: t('orders.customer') }, { title: t('orders.status') },
        { title: t('orders.total'), kind: 'num' }, { title: t('orders.placed'), kind: 'num wide' },
        { title: t('orders.updated'), kind: 'num wide' }];
    return html`<${Table} caption=${t('orders.title')} columns=${columns} kind="link-rows">${data.map((order) => html`
        <tr key=${order.order_id}>
            <th scope="row"><${OrderLink} id=${order.order_id} /></th>
            <td><a class="quiet" href=${link(['orders'], { customer: order.customer_id })}>${order.customer_id}</a></td>
            <td><${Status} is=${order.status} />${order.refund_due > 0 && html`${' '}<${PaymentState} is="refund_due" />`}</td>
            <td class="num">${money(order.total, order.currency)}</td>
            <td class="num wide muted" title=${moment(order.created_at)}><${Ago} at=${order.created_at} /></td>
            <td class="num wide muted" title=${moment(order.updated_at)}><${Ago} at=${order.updated_at} /></td>
        </tr>`)}<//>`;
}

// A test order, in the demo only: there, nobody waits for a parcel.
function Place({ currency, onClose }) {
    const products = useResource('api/inventory/products', { query: { limit: 200 } });
    const [key] = useState(newKey);
    const [lines, setLines] = useState([{ product: '', quantity: '1', price: '19.99' }]);
    const [customer, setCustomer] = useState('test-customer');
    const [within, setWithin] = useState('');
    const list = products.data?.data ?? [];
    const send = useSend(() => request('api/orders', {
        method: 'POST',
        headers: { prefer: 'wait=10', 'idempotency-key': key },
        body: {
            customer_id: customer,
            products: lines.map(({ product, quantity, price }) => ({
                product_id: product || list[0]?.product_id, quantity: Number(quantity), price: Number(price),
            })),
            ...(within && { payment: { within_s: Number(within) } }),
        },
    }));
    const done = (answer) => {
        onClose();
        if (!answer) return;
        say(t('orders.placed-now', { status: t(`status.${answer.status}`) }), answer.status === 'rejected' ? 'warn' : 'good');
        location.hash = link(['orders', answer.order_id]);
    };
    const set = (at, more) => setLines(lines.map((line, its) => (its === at ? { ...line, ...more } : line)));
    return html`<${Ask} title=${t('orders.place')} action=${t('orders.place.do')} send=${send} onClose=${done} onSubmit=${send.submit} wide>
        <p class="muted">${t('orders.place.note')}</p>
        <div class="pair">
            <${Field} label=${t('orders.customer')}>${(its) => html`<input ...${its} value=${customer} maxlength="64"
                onInput=${(event) => setCustomer(event.target.value)} />`}<//>
            <${Field} label=${t('orders.payment')}>${(its) => html`<select ...${its} value=${within} onChange=${(event) => setWithin(event.target.value)}>
                <option value="">${t('orders.place.payment.none')}</option>
                ${WITHIN_S.map((s) => html`<option key=${s} value=${s}>${t('orders.place.payment.within', { time: duration(s * 1000) })}</option>`)}
            </select>`}<//>
        </div>
        ${lines.map((line, at) => html`<div class="line" key=${at}>
            <${Field} label=${t('order.product')}>${(its) => html`<select ...${its} value=${line.product || list[0]?.product_id}
                onChange=${(event) => set(at, { product: event.target.value })}>
                ${list.map((one) => html`<option key=${one.product_id} value=${one.product_id}>${one.name} (${one.product_id})</option>`)}
            </select>`}<//>
            <${Field} label=${t('order.quantity')}>${(its) => html`<input ...${its} type="number" min="1" step="1" value=${line.quantity}
                onInput=${(event) => set(at, { quantity: event.target.value })} />`}<//>
            <${Field} label=${t('orders.price', { currency })}>${(its) => html`<input ...${its} type="number" min="0" step="0.01" value=${line.price}
                onInput=${(event) => set(at, { price: event.target.value })} />`}<//>
        </div>`)}
        <${Button} icon="plus" kind="small" onClick=${() => lines.length < 5 && setLines([...lines, { product: '', quantity: '1', price: '9.9' }])}>
            ${t('orders.place.line')}<//>
    <//>`;
}
