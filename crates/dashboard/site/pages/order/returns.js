// What came back from the customer, and what was cancelled before it left, with the forms for both.
import { html, useState } from '../../html.js';
import { Ago, list, money, t } from '../../text.js';
import { Ask, Button, Card, Field } from '../../ui.js';
import { TextField, Units, atFields, sayDone, selectAll, unitsOf, useChange } from './form.js';
import { DISPOSITIONS, cancellable, returnable } from './units.js';

// What came back, in words: where it was booked, and what became of it.
export const returnLine = (line, { names, places }) => t(`return.line.${line.disposition}`, {
    n: line.quantity,
    product: names[line.product_id] ?? line.product_id,
    location: places[line.booked_at ?? line.location_id] ?? line.booked_at ?? line.location_id,
});

export function Returns({ order, may, known, onAsk }) {
    const { returns } = order;
    if (returns.length === 0 && !may.takeBack) return null;
    const take = may.takeBack && html`<${Button} kind="small" onClick=${() => onAsk('takeBack')}>${t('return.do')}<//>`;
    return html`<${Card} title=${t('returns.title')} actions=${take}>
        ${returns.length === 0 ? html`<p class="card-text muted">${t('returns.none')}</p>`
            : html`<ol class="parcels">${returns.map((its) => html`<li key=${its.return_id} data-return=${its.return_id}>
                <ul>${its.lines.map((line, at) => html`<li key=${at}>${returnLine(line, known)}</li>`)}</ul>
                <p class="muted"><${Ago} at=${its.created_at} />${its.reason && html` · <q>${its.reason}</q>`}</p>
            </li>`)}</ol>`}
    <//>`;
}

export function Cancellations({ order, known }) {
    const { cancellations, currency } = order;
    if (cancellations.length === 0) return null;
    return html`<${Card} title=${t('cancellations.title')}>
        <ol class="parcels">${cancellations.map((its, at) => html`<li key=${at}>
            <div class="parcel-head"><span>${list(its.lines.map((line) => t('order.allocation', {
                quantity: line.quantity, product: known.names[line.product_id] ?? line.product_id,
            })))}</span><span class="end">${money(-its.amount, currency)}</span></div>
            <p class="muted"><${Ago} at=${its.created_at} />${its.reason && html` · <q>${its.reason}</q>`}</p>
        </li>`)}</ol>
    <//>`;
}

export function CancelUnits({ order, known, onClose, onRefused }) {
    const rows = cancellable(order).map((its) => ({
        key: its.product_id,
        name: known.names[its.product_id] ?? its.product_id,
        note: t('cancel-units.left', { n: its.quantity }),
        most: its.quantity,
    }));
    const [texts, setTexts] = useState({});
    const [reason, setReason] = useState('');
    const [tried, setTried] = useState(false);
    const [sent, setSent] = useState([]);
    const send = useChange(order, 'cancellations', onRefused);
    const units = rows.map((row) => unitsOf(texts[row.key] || '0'));
    const isWrong = (at) => !(units[at] <= rows[at].most);
    const isNothing = units.every((n) => n === 0);
    const { errorAt, rest } = atFields(send.problem, [...sent.map((_, at) => `/lines/${at}/quantity`), '/reason']);
    const rowError = (row, at) => (isWrong(at) ? t('units.wrong', { most: row.most })
        : tried && isNothing ? t('units.none') : sent.includes(row.key) && errorAt(`/lines/${sent.indexOf(row.key)}/quantity`));
    const submit = async () => {
        setTried(true);
        if (isNothing || rows.some((_, at) => isWrong(at))) return undefined;
        const chosen = rows.filter((_, at) => units[at] > 0);
        setSent(chosen.map((row) => row.key));
        const lines = chosen.map((row) => ({ product_id: row.key, quantity: unitsOf(texts[row.key]) }));
        return send.submit({ lines, ...(reason.trim() && { reason: reason.trim() }) });
    };
    const done = (answer) => {
        if (answer) sayDone('cancel-units.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('cancel-units.title')} action=${t('cancel-units.do')} kind="danger" send=${{ ...send, problem: rest }}
        onClose=${done} onSubmit=${submit}>
        <p>${t('cancel-units.note')}${order.payment && ` ${t('cancel-units.note.paid')}`}</p>
        <${Units} legend=${t('cancel-units.units')} rows=${rows} texts=${texts} errorAt=${rowError}
            onText=${(key, text) => setTexts({ ...texts, [key]: text })} />
        <${TextField} label=${t('form.reason')} value=${reason} onText=${setReason} error=${errorAt('/reason')} />
    <//>`;
}

// A line of a return. A product can have several: two units to the shelf, one to be looked at.
const lineOf = (productId, quantity, serial) => ({ product_id: productId, text: String(quantity), location: '', disposition: 'restock', serial });

export function TakeBack({ order, known, onClose, onRefused }) {
    const out = returnable(order);
    const most = Object.fromEntries(out.map((its) => [its.product_id, its.quantity]));
    const [lines, setLines] = useState(() => out.map((its, at) => lineOf(its.product_id, 0, at)));
    const [reason, setReason] = useState('');
    const [tried, setTried] = useState(false);
    const [sent, setSent] = useState([]);
    const send = useChange(order, 'returns', onRefused);
    const units = (line) => unitsOf(line.text || '0');
    const isUnits = (line) => units(line) <= (most[line.product_id] ?? 0);
    const together = (id) => lines.filter((its) => its.product_id === id).reduce((sum, its) => sum + units(its), 0);
    const isWrong = (line) => !isUnits(line) || !(together(line.product_id) <= (most[line.product_id] ?? 0));
    const isNothing = lines.every((line) => units(line) === 0);
    const pointers = sent.flatMap((_, at) => ['quantity', 'location_id', 'disposition'].map((name) => `/lines/${at}/${name}`));
    const { errorAt, rest } = atFields(send.problem, [...pointers, '/reason']);
    const said = (line, name) => sent.includes(line.serial) && errorAt(`/lines/${sent.indexOf(line.serial)}/${name}`);
    const set = (line, more) => setLines(lines.map((its) => (its === line ? { ...its, ...more } : its)));
    const another = (line) => {
        const at = lines.indexOf(line) + 1;
        const next = { ...lineOf(line.product_id, 0, lines.length), disposition: 'quarantine' };
        setLines([...lines.slice(0, at), next, ...lines.slice(at)]);
    };
    const submit = async () => {
        setTried(true);
        if (isNothing || lines.some(isWrong)) return undefined;
        const chosen = lines.filter((line) => units(line) > 0);
        setSent(chosen.map((line) => line.serial));
        const body = chosen.map((line) => ({
            product_id: line.product_id,
            quantity: units(line),
            disposition: line.disposition,
            ...(line.location && { location_id: line.location }),
        }));
        return send.submit({ lines: body, ...(reason.trim() && { reason: reason.trim() }) });
    };
    const done = (answer) => {
        if (answer) sayDone('return.done', answer);
        onClose(answer);
    };
    const nameOf = (line) => known.names[line.product_id] ?? line.product_id;
    const isFirst = (line) => lines.find((its) => its.product_id === line.product_id) === line;
    return html`<${Ask} title=${t('return.title')} action=${t('return.do')} send=${{ ...send, problem: rest }} onClose=${done} onSubmit=${submit} wide>
        <p>${t('return.note')}</p>
        ${lines.map((line) => html`<fieldset class="back-line" key=${line.serial}>
            <legend>${isFirst(line) ? html`<b>${nameOf(line)}</b> <span class="muted">${t('return.out', { n: most[line.product_id] ?? 0 })}</span>`
                : html`<span class="hidden">${nameOf(line)}</span>`}</legend>
            <div class="line">
                <${Field} label=${t('order.quantity')} error=${isWrong(line) ? t('units.wrong', { most: most[line.product_id] ?? 0 })
                    : (tried && isNothing && t('units.none')) || said(line, 'quantity')}>${(its) => html`
                    <input ...${its} inputmode="numeric" autocomplete="off" maxlength="7" value=${line.text} onFocus=${selectAll}
                        onInput=${(event) => set(line, { text: event.target.value })} />`}<//>
                <${Field} label=${t('return.disposition')} error=${said(line, 'disposition')}>${(its) => html`<select ...${its} value=${line.disposition}
                    onChange=${(event) => set(line, { disposition: event.target.value })}>
                    ${DISPOSITIONS.map((one) => html`<option key=${one} value=${one}>${t(`disposition.${one}`)}</option>`)}</select>`}<//>
                <${Field} label=${t('stock.location')} error=${said(line, 'location_id')}>${(its) => html`<select ...${its} value=${line.location}
                    onChange=${(event) => set(line, { location: event.target.value })}>
                    <option value="">${t('return.from')}</option>
                    ${Object.entries(known.places).map(([id, name]) => html`<option key=${id} value=${id}>${name}</option>`)}</select>`}<//>
            </div>
            ${isFirst(line) && (most[line.product_id] ?? 0) > 1 && html`<${Button} kind="small" icon="plus" onClick=${() => another(line)}>
                ${t('return.split')}<span class="hidden"> (${nameOf(line)})</span><//>`}
        </fieldset>`)}
        <${TextField} label=${t('form.reason')} value=${reason} onText=${setReason} error=${errorAt('/reason')} />
    <//>`;
}
