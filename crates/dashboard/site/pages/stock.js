// The stock: what there is of each product, low stock first.
import { html, useEffect, useState } from '../html.js';
import { usePages, useResource } from '../resource.js';
import { link } from '../store.js';
import { number, t } from '../text.js';
import { Card, Empty, Icon, Loaded, Pager, ProductLink, Table, Title } from '../ui.js';

const go = (query, replace) => {
    const to = link(['stock'], query);
    if (replace) history.replaceState(null, '', to);
    else location.hash = to;
    if (replace) dispatchEvent(new Event('hashchange'));
};

// Of a location where the product has never been.
export const NOTHING = { on_hand: 0, reserved: 0, quarantined: 0, available: 0 };

export const isLow = (product) => product.low_stock_at !== null && product.available <= product.low_stock_at;

export function Stock({ query }) {
    const filters = { q: query.get('q') ?? '', low: query.get('low') ?? '', location: query.get('location') ?? '' };
    const locations = useResource('api/inventory/locations', { query: { limit: 200 } });
    const pages = usePages(JSON.stringify(filters));
    const changes = (frame, data) => frame.inventory
        && (frame.inventory.isAll || data?.data.some((its) => frame.inventory.hasProduct(its.product_id)));
    const stock = useResource('api/inventory/products', {
        query: { q: filters.q, low_stock: filters.low ? true : null, limit: 25, cursor: pages.cursor }, changes,
    });
    // Low stock comes first on the first page of everything.
    const isPlain = !filters.q && !filters.low && pages.number === 1;
    const low = useResource(isPlain ? 'api/inventory/products' : null, {
        query: { low_stock: true, limit: 25 }, changes: (frame) => frame.inventory, least: 3000,
    });
    const lows = isPlain ? low.data?.data ?? [] : [];
    const isKnown = new Set(lows.map((its) => its.product_id));
    const absent = html`<${Empty} icon="stock" title=${t('stock.elsewhere')}>${t('stock.elsewhere.note')}<//>`;
    return html`
        <${Title} text=${t('stock.title')} note=${t('stock.note')}>
            <a class="button" href=${link(['import'])}><${Icon} name="import" size=${15} /><span>${t('import.title')}</span></a>
        <//>
        <${Filters} filters=${filters} locations=${locations.data?.data ?? []} />
        <${Card}><${Loaded} its=${stock} rows=${10} absent=${absent}>${({ data, next_cursor: next }) => html`
            <${List} lows=${lows} rest=${data.filter((its) => !isKnown.has(its.product_id))} location=${filters.location} filters=${filters} />
            <${Pager} pages=${pages} next=${next} />`}<//><//>`;
}

function Filters({ filters, locations }) {
    const [text, setText] = useState(filters.q);
    useEffect(() => setText(filters.q), [filters.q]);
    // A search begins when the typing pauses.
    useEffect(() => {
        if (text.trim() === filters.q) return undefined;
        const timer = setTimeout(() => go({ ...filters, q: text.trim() }, true), 250);
        return () => clearTimeout(timer);
    }, [text]);
    return html`<form class="filters" role="search" aria-label=${t('stock.filter')} onSubmit=${(event) => event.preventDefault()}>
        <div class="search"><${Icon} name="search" />
            <input type="search" id="search" aria-label=${t('stock.search')} placeholder=${t('stock.search')} value=${text}
                maxlength="200" autocomplete="off" spellcheck=${false} onInput=${(event) => setText(event.target.value)} />
        </div>
        ${locations.length > 1 && html`<select aria-label=${t('stock.location')} value=${filters.location}
            onChange=${(event) => go({ ...filters, location: event.target.value })}>
            <option value="">${t('stock.everywhere')}</option>
            ${locations.map((its) => html`<option key=${its.location_id} value=${its.location_id}>${its.name}</option>`)}
        </select>`}
        <button type="button" class="chip warn" aria-pressed=${filters.low ? 'true' : 'false'}
            onClick=${() => go({ ...filters, low: filters.low ? '' : 1 })}>${t('stock.only-low')}</button>
    </form>`;
}

function List({ lows, rest, location, filters }) {
    if (lows.length + rest.length === 0) {
        return filters.q || filters.low ? html`<${Empty} icon="search" title=${t('stock.none.found')} />`
            : html`<${Empty} icon="stock" title=${t('stock.none')}>${t('stock.none.note')}<//>`;
    }
    const columns = [{ title: t('order.product') }, { title: t('stock.on-hand'), kind: 'num wide' },
        { title: t('stock.reserved'), kind: 'num wide' }, { title: t('stock.available'), kind: 'num' },
        { title: t('stock.share'), kind: 'bar', hide: true }];
    const group = (key, products) => products.length > 0 && html`
        ${lows.length > 0 && html`<tr key=${key} class="group"><th colspan="5" scope="colgroup">${t(key)}</th></tr>`}
        ${products.map((its) => html`<${Row} key=${its.product_id} product=${its} location=${location} />`)}`;
    return html`<${Table} caption=${t('stock.title')} columns=${columns} kind="link-rows">
        ${group('stock.low', lows)}${group('stock.rest', rest)}<//>`;
}

function Row({ product, location }) {
    const its = location ? product.locations.find((one) => one.location_id === location) ?? NOTHING : product;
    return html`<tr>
        <th scope="row"><${ProductLink} id=${product.product_id} name=${product.name} />
            <small class="mono muted">${product.product_id}</small></th>
        <td class="num wide">${number(its.on_hand)}</td>
        <td class="num wide muted">${number(its.reserved)}</td>
        <td class="num"><b class=${isLow(product) ? 'warn-text' : ''}>${number(its.available)}</b>
            ${isLow(product) && html`<small class="tag warn">${t('stock.is-low')}</small>`}
            ${its.quarantined > 0 && html`<small class="muted">${t('stock.in-quarantine', { n: its.quarantined })}</small>`}</td>
        <td class="bar"><${Meter} product=${its} isLow=${isLow(product)} />
            ${!location && product.locations.length > 1 && html`<small class="muted">${product.locations
                .map((one) => `${one.location_id} ${number(one.available)}`).join(' · ')}</small>`}</td>
    </tr>`;
}

// How much of what is on hand is available.
export function Meter({ product, isLow: low = true }) {
    const share = product.on_hand > 0 ? 100 * product.available / product.on_hand : 0;
    return html`<div class="meter" aria-hidden="true"><i class=${low ? 'warn' : ''} style=${{ width: `${share}%` }}></i></div>`;
}

// The stock of a product at each of its locations.
export function Locations({ product, names }) {
    const columns = [{ title: t('stock.location') }, { title: t('stock.on-hand'), kind: 'num' },
        { title: t('stock.reserved'), kind: 'num' }, { title: t('stock.available'), kind: 'num' }];
    return html`<${Table} caption=${t('stock.per-location')} columns=${columns}>${product.locations.map((its) => html`
        <tr key=${its.location_id}><th scope="row">${names[its.location_id] ?? its.location_id}
                ${its.quarantined > 0 && html`<small class="muted">${t('stock.in-quarantine', { n: its.quarantined })}</small>`}</th>
            <td class="num">${number(its.on_hand)}</td><td class="num muted">${number(its.reserved)}</td>
            <td class="num"><b>${number(its.available)}</b></td></tr>`)}<//>`;
}
