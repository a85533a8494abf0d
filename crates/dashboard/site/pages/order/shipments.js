// The shipments of an order: which units left the stock, how to follow them, and the forms for that.
import { html, useState } from '../../html.js';
import { Ago, list, t } from '../../text.js';
import { Ask, Button, Card } from '../../ui.js';
import { TextField, Units, atFields, sayDone, unitsOf, useChange } from './form.js';
import { held } from './units.js';

// Units in words, by location: "2 × Blue mug and 1 × Green tee at Main warehouse", or the products alone if
// their number is unknown. `key`: the text for that.
export function unitsAt(lines, { names, places }, key = 'event.units') {
    const groups = new Map();
    for (const its of lines) {
        const product = names[its.product_id] ?? its.product_id;
        const units = its.quantity === undefined ? product : t('order.allocation', { quantity: its.quantity, product });
        groups.set(its.location_id, [...groups.get(its.location_id) ?? [], units]);
    }
    return [...groups].map(([id, units]) => (id ? t(key, { units: list(units), location: places[id] ?? id }) : list(units))).join('; ');
}

export function Shipments({ order, may, known, onAsk }) {
    const { shipments } = order;
    if (shipments.length === 0) return null;
    return html`<${Card} title=${t('shipments.title')}>
        <ol class="parcels">${shipments.map((its, at) => html`<li key=${its.shipment_id} data-shipment=${its.shipment_id}>
                <div class="parcel-head"><strong>${t('shipment.number', { n: at + 1 })}</strong>
                    <span class=${`status ${its.state}`}>${t(`shipment.${its.state}`)}</span>
                    <span class="muted end"><${Ago} at=${its.created_at} /></span></div>
                <p>${unitsAt(its.lines, known, 'event.units.from')}</p>
                <div class="parcel-foot"><${Followed} tracking=${its.tracking} />
                    <span class="actions">
                        ${its.state !== 'cancelled' && html`<${Button} kind="small" onClick=${() => onAsk('track', its)}>
                            ${t(its.tracking ? 'track.change' : 'track.add')}<${Which} n=${at + 1} /><//>`}
                        ${may.cancelShipment(its) && html`<${Button} kind="small danger" onClick=${() => onAsk('unship', its)}>
                            ${t('unship.do')}<${Which} n=${at + 1} /><//>`}
                    </span></div>
            </li>`)}</ol>
    <//>`;
}

// Says to readers who do not see where a button is, which shipment it is about.
const Which = ({ n }) => html`<span class="hidden"> (${t('shipment.number', { n })})</span>`;

// How a shipment is followed. Only an address that is `https` becomes a link.
function Followed({ tracking }) {
    if (!tracking) return html`<span class="muted">${t('tracking.none')}</span>`;
    const { carrier, number: code, url } = tracking;
    const words = [carrier, code].filter(Boolean).join(' ') || t('tracking.follow');
    return url?.startsWith('https://')
        ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${words}<span class="hidden"> ${t('tracking.new-window')}</span></a>`
        : html`<span translate="no">${words}</span>`;
}

const TRACKING = ['carrier', 'number', 'url'];
const MOST = { carrier: 200, number: 100, url: 500 };

// The fields of a tracking, and what they say: null if they say nothing.
function useTracking(start) {
    const [texts, setTexts] = useState(Object.fromEntries(TRACKING.map((name) => [name, start?.[name] ?? ''])));
    const said = Object.fromEntries(TRACKING.filter((name) => texts[name].trim()).map((name) => [name, texts[name].trim()]));
    const isWrong = Boolean(said.url) && !/^https:\/\/[^\s]+$/.test(said.url);
    const fields = (errorAt, prefix, tried) => html`<div class="pair tracking">
        ${TRACKING.map((name) => html`<${TextField} key=${name} label=${t(`tracking.${name}`)} value=${texts[name]} max=${MOST[name]} optional=${false}
            onText=${(text) => setTexts({ ...texts, [name]: text })} spellcheck=${false}
            error=${(name === 'url' && tried && isWrong && t('tracking.url.wrong')) || errorAt(`${prefix}/${name}`)}
            ...${name === 'url' ? { inputmode: 'url', placeholder: 'https://' } : {}} />`)}</div>`;
    return { said: Object.keys(said).length > 0 ? said : null, isWrong, fields };
}

const rowsOf = (lines, { names, places }) => lines.map((its) => ({
    key: `${its.product_id} ${its.location_id}`,
    name: names[its.product_id] ?? its.product_id,
    note: t('ship.held', { n: its.quantity, location: places[its.location_id] ?? its.location_id }),
    most: its.quantity,
    line: its,
}));

export function Ship({ order, known, onClose, onRefused }) {
    const rows = rowsOf(held(order), known);
    const [texts, setTexts] = useState(Object.fromEntries(rows.map((row) => [row.key, String(row.most)])));
    const [tried, setTried] = useState(false);
    const [sent, setSent] = useState([]);
    const tracking = useTracking();
    const send = useChange(order, 'shipments', onRefused);
    const units = rows.map((row) => unitsOf(texts[row.key] || '0'));
    const isWrong = (at) => !(units[at] <= rows[at].most);
    const all = units.reduce((sum, n) => sum + n, 0);
    const isNothing = all === 0;
    const { errorAt, rest } = atFields(send.problem, [...sent.map((_, at) => `/lines/${at}/quantity`), '/tracking/url', '/tracking/number', '/tracking/carrier']);
    const rowError = (row, at) => (isWrong(at) ? t('units.wrong', { most: row.most })
        : tried && isNothing ? t('units.none') : sent.includes(row.key) && errorAt(`/lines/${sent.indexOf(row.key)}/quantity`));
    const submit = async () => {
        setTried(true);
        if (isNothing || rows.some((_, at) => isWrong(at)) || tracking.isWrong) return undefined;
        const chosen = rows.filter((_, at) => units[at] > 0);
        setSent(chosen.map((row) => row.key));
        const lines = chosen.map((row) => ({
            product_id: row.line.product_id, location_id: row.line.location_id, quantity: unitsOf(texts[row.key]),
        }));
        return send.submit({ lines, ...(tracking.said && { tracking: tracking.said }) });
    };
    const done = (answer) => {
        if (answer) sayDone('ship.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('ship.title')} action=${t('ship.action', { n: Number.isNaN(all) ? 0 : all })} send=${{ ...send, problem: rest }}
        onClose=${done} onSubmit=${submit} wide>
        <p>${t('ship.note')}</p>
        <${Units} legend=${t('ship.units')} rows=${rows} texts=${texts} errorAt=${rowError}
            onText=${(key, text) => setTexts({ ...texts, [key]: text })} />
        <fieldset><legend><b>${t('tracking.title')}</b> <span class="muted">${t('form.optional')}</span></legend>
            ${tracking.fields(errorAt, '/tracking', tried)}</fieldset>
    <//>`;
}

export function Track({ order, shipment, onClose, onRefused }) {
    const tracking = useTracking(shipment.tracking);
    const [tried, setTried] = useState(false);
    const send = useChange(order, `shipments/${encodeURIComponent(shipment.shipment_id)}/tracking`, onRefused, 'PUT');
    const { errorAt, rest } = atFields(send.problem, TRACKING.map((name) => `/${name}`));
    const submit = () => {
        setTried(true);
        return tracking.isWrong ? undefined : send.submit(tracking.said ?? {});
    };
    const done = (answer) => {
        if (answer) sayDone('track.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('track.title')} action=${t('track.do')} send=${{ ...send, problem: rest }} onClose=${done} onSubmit=${submit}>
        ${tracking.fields(errorAt, '', tried)}
    <//>`;
}

export function CancelShipment({ order, shipment, onClose, onRefused }) {
    const [reason, setReason] = useState('');
    const send = useChange(order, `shipments/${encodeURIComponent(shipment.shipment_id)}/cancel`, onRefused);
    const n = shipment.lines.reduce((sum, its) => sum + its.quantity, 0);
    const submit = () => send.submit(reason.trim() ? { reason: reason.trim() } : {});
    const done = (answer) => {
        if (answer) sayDone('unship.done', answer);
        onClose(answer);
    };
    const problem = send.problem?.code === 'quantity_unavailable' ? { ...send.problem, code: 'shipment_returned', errors: [] } : send.problem;
    return html`<${Ask} title=${t('unship.title')} action=${t('unship.do')} kind="danger" send=${{ ...send, problem }} onClose=${done} onSubmit=${submit}>
        <p>${t('unship.note', { n })}</p>
        <${TextField} label=${t('form.reason')} value=${reason} onText=${setReason} />
    <//>`;
}
