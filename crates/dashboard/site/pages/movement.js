// The form that moves stock: receive, adjust, count, put into quarantine, and what follows. Safe against a change by somebody else, and
// against a second click.
import { html, useEffect, useRef, useState } from '../html.js';
import { newKey, request } from '../api.js';
import { useSend } from '../resource.js';
import { number, signed, t } from '../text.js';
import { Ask, Field, say } from '../ui.js';
import { NOTHING } from './stock.js';

const MAX = { receive: 1_000_000, adjust: 1_000_000, count: 1_000_000_000, quarantine: 1_000_000, unquarantine: 1_000_000, write_off: 1_000_000 };
// The units at a location that a kind can move. Others add units, or say how many there are.
const MOVABLE = { quarantine: 'available', unquarantine: 'quarantined', write_off: 'quarantined' };

// The level after a movement.
function levelAfter(kind, level, quantity) {
    const { on_hand: onHand, reserved, quarantined } = level;
    const next = {
        receive: { on_hand: onHand + quantity },
        adjust: { on_hand: onHand + quantity },
        count: { on_hand: quantity },
        quarantine: { quarantined: quarantined + quantity },
        unquarantine: { quarantined: quarantined - quantity },
        write_off: { on_hand: onHand - quantity, quarantined: quarantined - quantity },
    }[kind];
    return { on_hand: onHand, reserved, quarantined, ...next };
}

export function Movement({ kind, id, product, names, start, onClose }) {
    const places = Object.keys(names).length > 0 ? Object.keys(names) : ['main'];
    const movable = MOVABLE[kind];
    const likely = product.locations.find((its) => !movable || its[movable] > 0) ?? product.locations[0];
    const [location, setLocation] = useState(start || likely?.location_id || 'main');
    const [text, setText] = useState('');
    const [reason, setReason] = useState('');
    const [reference, setReference] = useState('');
    const [tried, setTried] = useState(false);
    // What the form was about when the reader began it: a count is against this.
    const level = product.locations.find((its) => its.location_id === location) ?? NOTHING;
    const most = movable ? Math.min(level[movable], MAX[kind]) : MAX[kind];
    const [seen, setSeen] = useState({ location, on_hand: level.on_hand });
    useEffect(() => setSeen({ location, on_hand: level.on_hand }), [location]);
    const key = useRef(newKey());

    const quantity = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : NaN;
    const isQuantity = Number.isSafeInteger(quantity) && Math.abs(quantity) <= most
        && (kind === 'count' ? quantity >= 0 : kind === 'adjust' ? quantity !== 0 : quantity > 0);
    const needsReason = kind !== 'receive';
    const isReason = !needsReason || reason.trim() !== '';
    const after = levelAfter(kind, level, quantity);
    const hasMoved = kind === 'count' && seen.location === location && seen.on_hand !== level.on_hand;

    const send = useSend(() => request(`api/inventory/products/${encodeURIComponent(id)}/movements`, {
        method: 'POST',
        headers: { 'idempotency-key': key.current },
        body: {
            kind,
            quantity,
            location_id: location,
            ...(reason.trim() && { reason: reason.trim() }),
            ...(reference.trim() && { reference: reference.trim() }),
            ...(kind === 'count' && { expected_on_hand: seen.on_hand }),
        },
    }));
    const submit = async () => {
        setTried(true);
        if (!isQuantity || !isReason) return undefined;
        return send.submit();
    };
    const done = (movement) => {
        if (movement) say(t(movable ? 'move.done.quarantined' : 'move.done', { name: product.name, ...movement }));
        onClose(movement);
    };
    // The service refused it, so the next attempt is another request. A key that was used is kept: the
    // earlier request may have moved the stock, and with another key it would be moved again.
    useEffect(() => {
        const { status, code } = send.problem ?? {};
        if (status >= 400 && status < 500 && code !== 'idempotency_key_reused') key.current = newKey();
    }, [send.problem]);

    const isRefused = send.problem?.code === 'quantity_unavailable';
    const wrong = movable && most === 0 ? t(`move.${kind}.none`)
        : tried && !isQuantity ? t(`move.${kind}.wrong`, { most }) : isRefused && t('fault.quantity_unavailable');
    return html`<${Ask} title=${t(`move.${kind}.title`, { name: product.name })} action=${t(`move.${kind}.do`)} send=${isRefused ? { ...send, problem: null } : send}
        onClose=${done} onSubmit=${submit}>
        <p class="muted">${t(`move.${kind}.note`)}</p>
        <div class="pair">
            <${Field} label=${t(`move.${kind}.quantity`)} error=${wrong}>${(its) => html`
                <input ...${its} inputmode=${kind === 'adjust' ? 'text' : 'numeric'} autocomplete="off" autofocus value=${text}
                    onInput=${(event) => setText(event.target.value)} />`}<//>
            <${Field} label=${t('stock.location')}>${(its) => html`<select ...${its} value=${location}
                onChange=${(event) => setLocation(event.target.value)}>
                ${places.map((place) => html`<option key=${place} value=${place}>${names[place] ?? place}</option>`)}</select>`}<//>
        </div>
        <${Field} label=${t('form.reason')} hint=${!needsReason && t('form.optional')} error=${tried && !isReason && t('move.reason.wrong')}>${(its) => html`
            <input ...${its} maxlength="200" value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
        ${kind === 'receive' && html`<${Field} label=${t('move.reference')} hint=${t('form.optional')}>${(its) => html`
            <input ...${its} maxlength="200" value=${reference} onInput=${(event) => setReference(event.target.value)} />`}<//>`}
        <p class="preview" role="status">${t('move.now', level)}
            ${isQuantity && html` → <b>${movable ? t('move.now', after) : t('move.after', after)}</b>
                ${!movable && html` <span class="muted">(${signed(after.on_hand - level.on_hand)})</span>`}`}</p>
        ${(hasMoved || send.problem?.code === 'stock_changed') && html`<div class="note warn"><div>
            <strong>${t('move.changed', { before: seen.on_hand, now: level.on_hand })}</strong>
            <p>${t('move.changed.note')}</p>
            <button type="button" class="button small" onClick=${() => setSeen({ location, on_hand: level.on_hand })}>
                ${t('move.changed.do', { n: number(level.on_hand) })}</button></div></div>`}
    <//>`;
}
