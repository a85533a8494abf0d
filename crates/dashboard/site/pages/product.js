// One product: why is it 47? Its ledger in sentences, its stock over time, and who holds it.
import { html, useEffect, useMemo, useState } from '../html.js';
import { isAbsent, request } from '../api.js';
import { Chart } from '../chart.js';
import { useResource, useSend } from '../resource.js';
import { link } from '../store.js';
import { Ago, number, precise, signed, t } from '../text.js';
import { Advice, Button, Card, Copy, Empty, Loaded, OrderLink, ProblemNote, Title } from '../ui.js';
import { Movement } from './movement.js';
import { Locations, NOTHING, isLow } from './stock.js';

const SHOWN = 200;

export function Product({ id, query }) {
    const path = `api/inventory/products/${encodeURIComponent(id)}`;
    const location = query.get('location') ?? '';
    const changes = (frame) => frame.inventory?.hasProduct(id);
    const product = useResource(path, { changes });
    const ledger = useResource(`${path}/movements`, { query: { location_id: location, limit: SHOWN }, changes });
    const holders = useResource(`${path}/holders`, { query: { location_id: location, limit: 50 }, changes });
    const locations = useResource('api/inventory/locations', { query: { limit: 200 } });
    const names = useMemo(() => Object.fromEntries((locations.data?.data ?? []).map((its) => [its.location_id, its.name])), [locations.data]);
    const [asking, setAsking] = useState(null);
    const { data } = product;
    const at = (its) => (location ? its.locations.find((one) => one.location_id === location) ?? NOTHING : its);
    const back = { href: link(['stock']), text: t('stock.title') };
    return html`
        <${Title} text=${data?.name ?? id} back=${back}
            note=${html`<span class="mono id">${id}</span> <${Copy} text=${id} label=${t('product.copy')} />`}>
            ${data && ['receive', 'adjust', 'count', 'quarantine'].map((kind) => html`<${Button} key=${kind} kind=${kind === 'receive' ? 'primary' : ''}
                onClick=${() => setAsking(kind)}>${t(`move.${kind}`)}<//>`)}
        <//>
        <${Loaded} its=${product} rows=${8} absent=${html`<${Empty} icon="stock" title=${t('stock.elsewhere')} />`}>${(its) => html`
            <${Levels} level=${at(its)} product=${its} />
            <div class="columns">
                <div class="main stack">
                    <${Card} title=${t('product.over-time')} actions=${html`<${Places} id=${id} product=${its} location=${location} names=${names} />`}>
                        <${Loaded} its=${ledger} rows=${5}>${(page) => html`<${History} movements=${page.data} product=${its} location=${location} />`}<//>
                    <//>
                    <${Ledger} ledger=${ledger} path=${path} location=${location} names=${names} level=${at(its)} />
                </div>
                <aside class="side stack">
                    <${Quarantine} product=${its} names=${names} onAsk=${setAsking} />
                    <${Card} title=${t('stock.per-location')}><${Locations} product=${its} names=${names} /><//>
                    <${Holders} holders=${holders} names=${names} />
                </aside>
            </div>`}<//>
        ${asking && html`<${Movement} kind=${asking} id=${id} product=${data} names=${names} start=${location}
            onClose=${() => { setAsking(null); product.reload(); ledger.reload(); holders.reload(); }} />`}`;
}

function Levels({ level, product }) {
    const tiles = [['on-hand', level.on_hand, ''], ['reserved', level.reserved, ''], ['quarantined', level.quarantined, ''], ['available', level.available, isLow(product) ? 'warn' : '']];
    return html`<div class="tiles levels">${tiles.map(([name, n, kind]) => html`<div key=${name} class="tile card">
        <span class="tile-label">${t(`stock.${name}`)}</span>
        <span class=${`tile-value ${kind}`} data-level=${name}>${number(n)}</span>
        <span class="tile-note">${name === 'available' && product.low_stock_at !== null
            ? t(isLow(product) ? 'product.low' : 'product.low-at', { n: product.low_stock_at }) : t(`product.${name}.note`)}</span>
    </div>`)}</div>`;
}

// Units that somebody has to look at, and what to do with them.
function Quarantine({ product, names, onAsk }) {
    if (product.quarantined === 0) return null;
    const places = product.locations.filter((its) => its.quarantined > 0);
    return html`<${Card} title=${t('product.quarantine')}>
        <${Advice}>${t('product.quarantine.advice')}<//>
        <ul class="rows">${places.map((its) => html`<li key=${its.location_id}>
            <div>${names[its.location_id] ?? its.location_id}</div><div class="end"><b>${number(its.quarantined)}</b></div></li>`)}</ul>
        <div class="card-actions">${['unquarantine', 'write_off'].map((kind) => html`<${Button} key=${kind}
            kind=${kind === 'write_off' ? 'small danger' : 'small'} onClick=${() => onAsk(kind)}>${t(`move.${kind}`)}<//>`)}</div>
    <//>`;
}

function Places({ id, product, location, names }) {
    if (product.locations.length < 2) return null;
    const choices = [['', t('stock.everywhere')], ...product.locations.map((its) => [its.location_id, names[its.location_id] ?? its.location_id])];
    return html`<div class="segmented" role="group" aria-label=${t('stock.location')}>${choices.map(([its, name]) => html`
        <button key=${its} type="button" aria-pressed=${its === location ? 'true' : 'false'}
            onClick=${() => { window.location.hash = link(['stock', id], { location: its }); }}>${name}</button>`)}</div>`;
}

// Units that cannot be sold: promised to orders, or in quarantine.
const heldBack = (level) => level.reserved + (level.quarantined ?? 0);

// On hand and available after each movement. Over several locations: the sum of what each had then.
export function levels(movements, product, location) {
    const oldest = [...movements].reverse();
    const places = location ? [location] : product.locations.map((its) => its.location_id);
    const now = Object.fromEntries(product.locations.map((its) => [its.location_id, its]));
    const level = {};
    for (const place of places) {
        const first = oldest.find((its) => its.location_id === place);
        level[place] = first ? { on_hand: first.on_hand - first.on_hand_delta, held: heldBack(first) - first.reserved_delta - (first.quarantined_delta ?? 0) }
            : { on_hand: now[place]?.on_hand ?? 0, held: now[place] ? heldBack(now[place]) : 0 };
    }
    const lists = [[], [], []];
    for (const its of oldest) {
        level[its.location_id] = { on_hand: its.on_hand, held: heldBack(its) };
        const sum = (name) => places.reduce((total, place) => total + level[place][name], 0);
        // The clocks of replicas differ, and a chart goes forward only. Movements of one moment are one point.
        const second = Math.max(lists[0].at(-1) ?? 0, Date.parse(its.created_at) / 1000);
        const at = lists[0].at(-1) === second ? lists[0].length - 1 : lists[0].length;
        lists[0][at] = second;
        lists[1][at] = sum('on_hand');
        lists[2][at] = sum('on_hand') - sum('held');
    }
    return lists;
}

function History({ movements, product, location }) {
    const data = useMemo(() => levels(movements, product, location), [movements, product, location]);
    const [times, onHand, available] = data;
    if (times.length === 0) return html`<${Empty} icon="stock" title=${t('ledger.none')} />`;
    const series = [
        { label: t('stock.on-hand'), stroke: 'blue', fill: true, stepped: true },
        { label: t('stock.available'), stroke: 'green-fill', stepped: true },
    ];
    const text = t('chart.stock.text', {
        from: precise(times[0] * 1000), n: movements.length, first: onHand[0], last: onHand.at(-1), available: available.at(-1),
        lowest: available.reduce((low, n) => Math.min(low, n)),
    });
    return html`<${Chart} series=${series} data=${data} label=${t('product.over-time')} value=${number} dates=${true} height=${216} />
        <p class="hidden">${text}</p>`;
}

function Ledger({ ledger, path, location, names, level }) {
    const [older, setOlder] = useState({ key: '', data: [], next: null });
    const key = `${path} ${location}`;
    useEffect(() => setOlder({ key, data: [], next: null }), [key]);
    const shown = ledger.data?.data ?? [];
    const last = older.data.length > 0 ? older.next : ledger.data?.next_cursor;
    const send = useSend(async () => {
        const page = await request(`${path}/movements`, { query: { location_id: location, limit: 100, cursor: last } });
        setOlder((old) => ({ key, data: [...(old.key === key ? old.data : []), ...page.data].slice(0, 2000), next: page.next_cursor }));
        return page;
    });
    const known = new Set(shown.map((its) => `${its.location_id} ${its.seq}`));
    const rest = older.key === key ? older.data.filter((its) => !known.has(`${its.location_id} ${its.seq}`)) : [];
    const [limit, setLimit] = useState(20);
    const all = [...shown, ...rest];
    const more = async () => {
        if (limit >= all.length && last) await send.submit();
        setLimit(limit + 50);
    };
    return html`<${Card} title=${t('ledger.title', { n: level.on_hand })} note=${t('ledger.note')}>
        <${Loaded} its=${ledger} rows=${8}>${() => html`
            ${all.length === 0 && html`<${Empty} icon="book" title=${t('ledger.none')} />`}
            <ol class="ledger">${all.slice(0, limit).map((its) => html`<${Entry} key=${`${its.location_id} ${its.seq}`} its=${its} names=${names} />`)}</ol>
            <${ProblemNote} problem=${send.problem} />
            ${(limit < all.length || last) && html`<div class="pager"><${Button} busy=${send.busy} onClick=${more}>${t('ledger.older')}<//></div>`}`}<//>
    <//>`;
}

function sentenceOf({ kind, on_hand_delta: onHand, quarantined_delta: quarantined }) {
    if (kind === 'adjust') return onHand < 0 ? 'adjust.less' : 'adjust.more';
    if (kind !== 'return') return kind;
    if (onHand === 0) return 'return.written-off';
    return quarantined > 0 ? 'return.quarantined' : 'return';
}

// A movement as a sentence.
function Entry({ its, names }) {
    // What it changed: what is on hand, or else what is available of it.
    const delta = its.on_hand_delta || -its.reserved_delta - its.quarantined_delta;
    const kind = delta < 0 ? 'down' : delta > 0 ? 'up' : 'same';
    const sentence = t(`ledger.${sentenceOf(its)}`, {
        n: Math.abs(delta),
        quarantined: its.quarantined_delta,
        location: names[its.location_id] ?? its.location_id,
        order: its.order_id && html`<${OrderLink} id=${its.order_id} />`,
        on_hand: its.on_hand,
    });
    return html`<li>
        <span class=${`delta ${kind}`}>${signed(delta)}</span>
        <div><p>${sentence}</p>
            <p class="muted"><${Ago} at=${its.created_at} />
                <span>${t('ledger.after', { on_hand: its.on_hand, available: its.available })}</span>
                ${its.reason && html`<q>${its.reason}</q>`}
                ${its.reference && html`<span>${t('ledger.reference', { reference: its.reference })}</span>`}
                ${its.actor && html`<span>${t('event.by', { who: its.actor })}</span>`}</p></div>
    </li>`;
}

function Holders({ holders, names }) {
    if (isAbsent(holders.problem)) return null;
    return html`<${Card} title=${t('holders.title')}>
        <${Loaded} its=${holders} rows=${3}>${({ data, next_cursor: next }) => (data.length === 0
            ? html`<p class="card-text muted">${t('holders.none')}</p>`
            : html`<ul class="rows">${data.map((its) => html`<li key=${`${its.order_id} ${its.location_id}`}>
                <div><${OrderLink} id=${its.order_id} /> <small class="muted">${names[its.location_id] ?? its.location_id}</small></div>
                <div class="end"><b>${number(its.quantity)}</b> <small class="muted"><${Ago} at=${its.since} /></small></div></li>`)}
                ${next && html`<li class="muted">${t('holders.more')}</li>`}</ul>`)}<//>
    <//>`;
}
