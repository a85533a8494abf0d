// What was ordered, what it costs, and what has become of each unit.
import { html } from '../../html.js';
import { money, number, sum, t, times } from '../../text.js';
import { Button, Card, ProductLink, Table } from '../../ui.js';
import { sums } from './units.js';

const NUMBERS = ['ordered', 'cancelled', 'allocated', 'shipped', 'returned'];

export function Items({ order, may, known, onAsk }) {
    const { currency, products } = order;
    const amount = (its) => money(its, currency);
    const linesOf = (id) => products.filter((its) => its.product_id === id);
    const priced = (lines) => lines.map((its) => t('order.times', { n: its.quantity, price: amount(its.price) })).join(' + ');
    const sumOf = (lines) => sum(lines.map((its) => times(its.price, its.quantity, currency)), currency);
    const cancelled = sum(order.cancellations.map((its) => its.amount), currency);
    const columns = [{ title: t('order.product') }, ...NUMBERS.map((name) => ({ title: t(`items.${name}`), kind: 'num' })), { title: t('order.sum'), kind: 'num' }];
    const cancel = may.cancelUnits && html`<${Button} kind="small" onClick=${() => onAsk('cancelUnits')}>${t('cancel-units.do')}<//>`;
    const total = (key, its, kind = '') => html`<tr class=${`total ${kind}`} role="row">
        <th scope="row" role="rowheader" colspan=${NUMBERS.length + 1}>${t(key)}</th><td class="num" role="cell">${its}</td></tr>`;
    return html`<${Card} title=${t('order.lines')} note=${t('order.lines.n', { n: products.length })} actions=${cancel} kind="first">
        <${Table} caption=${t('order.lines')} columns=${columns} kind="items">
            ${order.items.map((its) => html`<tr key=${its.product_id} data-item=${its.product_id} role="row">
                <th scope="row" role="rowheader"><${ProductLink} id=${its.product_id} name=${known.names[its.product_id]} />
                    <small class="muted">${priced(linesOf(its.product_id))}</small></th>
                ${NUMBERS.map((name) => html`<td key=${name} class=${`num ${its[name] === 0 ? 'muted' : ''}`} role="cell" data-label=${t(`items.${name}`)}
                    data-units=${name}>${number(its[name])}</td>`)}
                <td class="num sum" role="cell">${amount(sumOf(linesOf(its.product_id)))}</td>
            </tr>`)}
            ${total('orders.total', amount(order.total))}
            ${cancelled > 0 && total('items.less', amount(-cancelled), 'minor')}
            ${cancelled > 0 && total('items.kept', amount(sum([order.total, -cancelled], currency)))}
        <//>
        <${Progress} order=${order} />
    <//>`;
}

// How far the order has come, in units.
function Progress({ order }) {
    const { ordered, cancelled, shipped, returned } = sums(order);
    const wanted = ordered - cancelled;
    if (shipped === 0 || wanted === 0) return null;
    return html`<div class="card-foot progress-foot">
        <div class="meter" aria-hidden="true"><i style=${{ width: `${100 * shipped / wanted}%` }}></i></div>
        <span>${t('items.progress', { n: shipped, wanted })}${returned > 0 && `, ${t('items.progress.returned', { n: returned })}`}</span>
    </div>`;
}
