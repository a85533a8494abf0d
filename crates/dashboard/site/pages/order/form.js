// What the forms of an order's page have in common: they change the order once, and show what the
// service says against it at the right field.
import { html, useRef } from '../../html.js';
import { newKey, request } from '../../api.js';
import { useSend } from '../../resource.js';
import { has, t } from '../../text.js';
import { Field, say } from '../../ui.js';

export const MAX_TEXT = 200;
const WAIT_S = 5;

// A change of an order. The key is made once per form, so that a double click is one change, and so is
// a second attempt after an answer that got lost. A refused request does not use it up. `onRefused` reads
// the order again: it is not what the form was made for, or the change was made and its answer was lost.
export function useChange(order, path, onRefused, method = 'POST') {
    const key = useRef(newKey());
    const send = useSend((body) => request(`api/orders/${encodeURIComponent(order.order_id)}/${path}`, {
        method, body, headers: { prefer: `wait=${WAIT_S}`, 'idempotency-key': key.current },
    }));
    const submit = async (body) => {
        const answer = await send.submit(body);
        if (!answer) onRefused();
        return answer;
    };
    return { ...send, submit };
}

// Says what came of a change.
export const sayDone = (key, answer) => say(t(key, { status: t(`status.${answer.status}`) }));

// What a problem says of the fields of a form: `errorAt(pointer)`, and the problem with all that none of
// these fields shows; null if they show all of it. `codes`: the field that a whole problem is about.
export function atFields(problem, pointers, codes = {}) {
    const shown = new Map();
    if (!problem) return { errorAt: () => undefined, rest: null };
    const whole = codes[problem.code];
    if (whole) shown.set(whole, t(`problem.${problem.code}`));
    const others = [];
    for (const its of problem.errors ?? []) {
        const pointer = pointers.find((known) => known === its.pointer);
        const key = problem.code === 'quantity_unavailable' ? 'fault.quantity_unavailable' : `fault.${its.code}`;
        if (pointer) shown.set(pointer, has(key) ? t(key) : t('fault.other'));
        else others.push(its);
    }
    const isShown = shown.size > 0 && others.length === 0;
    return { errorAt: (pointer) => shown.get(pointer), rest: isShown ? null : { ...problem, errors: others } };
}

// A whole number of units from a field, or NaN.
export const unitsOf = (text) => (/^\d{1,7}$/.test(text.trim()) ? Number(text) : NaN);

export function TextField({ label, value, onText, optional = true, error, hint, max = MAX_TEXT, ...more }) {
    return html`<${Field} label=${label} hint=${hint ?? (optional && t('form.optional'))} error=${error}>${(its) => html`
        <input ...${its} ...${more} value=${value} maxlength=${max} autocomplete="off" onInput=${(event) => onText(event.target.value)} />`}<//>`;
}

// What is there is replaced by what is typed.
export const selectAll = (event) => event.target.select();

// A number of units for each row: `rows` are {key, name, note, most}.
export function Units({ legend, rows, texts, onText, errorAt }) {
    return html`<fieldset class="units"><legend>${legend}</legend>
        ${rows.length === 0 && html`<p class="muted">${t('units.empty')}</p>`}
        ${rows.map((row, at) => html`<${Field} key=${row.key} label=${row.name} hint=${row.note} error=${errorAt(row, at)}>${(its) => html`
            <input ...${its} inputmode="numeric" autocomplete="off" maxlength="7" value=${texts[row.key] ?? ''} onFocus=${selectAll}
                onInput=${(event) => onText(row.key, event.target.value)} />`}<//>`)}
    </fieldset>`;
}
