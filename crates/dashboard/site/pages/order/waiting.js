// Orders whose money waits for somebody: the customer has not paid yet, or the shop owes a refund.
import { html } from '../../html.js';
import { useResource } from '../../resource.js';
import { link } from '../../store.js';
import { Ago, money, t } from '../../text.js';
import { Advice, Card, Empty, Loaded, OrderLink, Pager, Table } from '../../ui.js';

const LEAST_MS = 3000;

export const useWaiting = (payment, limit, cursor) => useResource('api/orders', {
    query: { payment, limit, cursor }, changes: (frame) => frame.orders, least: LEAST_MS,
});

// `payment` is `due` or `refund_due`. An order that waits for its payment has not changed since it was
// reserved, so its total is due. `pages`: there is room for all of them, and for what to do.
export function Waiting({ payment, orders, pages }) {
    const isDue = payment === 'due';
    const title = t(`waiting.${payment}`);
    const more = html`<a href=${link(['orders'], { payment })}>${t('waiting.all')}</a>`;
    const columns = [{ title: t('orders.id') }, { title: t('orders.customer'), kind: pages ? '' : 'wide' },
        { title: t(isDue ? 'payment.amount' : 'payment.refund-due'), kind: 'num' },
        { title: t('waiting.since'), kind: 'num' }];
    const row = (order) => html`<tr key=${order.order_id}>
        <th scope="row"><${OrderLink} id=${order.order_id} /></th>
        <td class=${pages ? '' : 'wide muted'}>${order.customer_id}</td>
        <td class="num">${isDue ? money(order.total, order.currency) : html`<b>${money(order.refund_due, order.currency)}</b>`}</td>
        <td class="num muted"><${Ago} at=${order.updated_at} /></td>
    </tr>`;
    return html`<${Card} title=${title} note=${pages && t(`waiting.${payment}.note`)} actions=${more}>
        <${Loaded} its=${orders} rows=${3}>${({ data, next_cursor: next }) => (data.length === 0
            ? html`<${Empty} icon="check" title=${t(`waiting.${payment}.none`)} />`
            : html`${pages && html`<${Advice}>${t(`waiting.${payment}.advice`)}<//>`}
                <${Table} caption=${title} columns=${columns}>${data.map(row)}<//>
                ${pages && html`<${Pager} pages=${pages} next=${next} />`}`)}<//>
    <//>`;
}
