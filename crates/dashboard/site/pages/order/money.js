// The money of an order: what is due, paid, refunded and owed, and the forms that record it.
import { html, useState } from '../../html.js';
import { amountText, decimals, duration, moment, money, precise, sum, t } from '../../text.js';
import { useNow } from '../../store.js';
import { Ask, Button, Card, Field } from '../../ui.js';
import { TextField, atFields, sayDone, useChange } from './form.js';
import { nextAction } from './units.js';

export const PaymentState = ({ is }) => html`<span class=${`status ${is}`}>${t(`payment.${is}`)}</span>`;

// How much time is left to pay.
export function TimeLeft({ until }) {
    const left = Date.parse(until) - useNow();
    return html`<time datetime=${until} title=${precise(until)}>${left > 0 ? t('payment.left', { time: duration(Math.ceil(left / 1000) * 1000) })
        : t('payment.left.none')}</time>`;
}

export function Payment({ order, may, onAsk }) {
    const { payment, currency } = order;
    if (!payment) return null;
    const amount = (its) => money(its, currency);
    const owed = payment.refund_due;
    const first = nextAction(order, may);
    const actions = ['pay', 'refund'].filter((its) => may[its] && its !== first);
    return html`<${Card} title=${t('payment.title')} kind="second"
        actions=${html`<${PaymentState} is=${payment.state} />`}>
        ${payment.pay_by && html`<p class="card-text deadline"><b><${TimeLeft} until=${payment.pay_by} /></b>
            <span class="muted">${t('payment.pay-by', { time: moment(payment.pay_by) })}</span></p>`}
        ${owed > 0 && html`<p class="card-text advice"><b>${t('payment.owed', { amount: amount(owed) })}</b> ${t('payment.owed.advice')}</p>`}
        ${payment.state === 'expired' && html`<p class="card-text advice">${t('payment.expired.advice')}</p>`}
        <dl class="facts">
            <dt>${t('payment.amount')}</dt><dd data-money="amount">${amount(payment.amount)}</dd>
            <dt>${t('payment.paid')}</dt><dd data-money="paid">${amount(payment.paid)}</dd>
            <dt>${t('payment.refunded')}</dt><dd data-money="refunded">${amount(payment.refunded)}</dd>
            <dt>${t('payment.refund-due')}</dt><dd data-money="owed"><b class=${owed > 0 ? 'warn-text' : ''}>${amount(owed)}</b></dd>
        </dl>
        ${actions.length > 0 && html`<div class="card-actions">${actions.map((its) => html`
            <${Button} key=${its} kind="small" onClick=${() => onAsk(its)}>${t(`${its}.do`)}<//>`)}</div>`}
    <//>`;
}

// Reads what a field has as an amount of the currency: NaN unless it is one.
function amountOf(text, currency) {
    const digits = decimals(currency);
    const form = digits > 0 ? new RegExp(`^\\d{1,12}([.,]\\d{1,${digits}})?$`) : /^\d{1,15}$/;
    const its = text.trim();
    return form.test(its) && Number(its.replace(',', '.')) > 0 ? Number(its.replace(',', '.')) : NaN;
}

const POINTERS = ['/reference', '/amount'];
const CODES = {
    already_paid: '/reference', idempotency_key_reused: '/reference', underpaid: '/amount', refund_exceeds_payment: '/amount',
};
const textOf = (amount, currency) => (amount > 0 ? amountText(amount, currency) : '');

// The two fields of money that is recorded.
function useMoney({ order, path, start, most, words, onRefused }) {
    const { currency } = order;
    const [reference, setReference] = useState('');
    const [text, setText] = useState(textOf(start, currency));
    const [tried, setTried] = useState(false);
    const send = useChange(order, path, onRefused);
    const amount = amountOf(text, currency);
    const isMore = amount > most;
    const { errorAt, rest } = atFields(send.problem, POINTERS, CODES);
    const problem = send.problem?.code;
    // A reference that was used for other money is another one's. The form can be sent with another.
    const used = problem === 'idempotency_key_reused' && t('money.reference.used');
    const wrongReference = (tried && !reference.trim() && t('money.reference.wrong')) || used || errorAt('/reference');
    const wrongAmount = (tried && Number.isNaN(amount) && t('money.amount.wrong', { example: money(start || order.total, currency) }))
        || (isMore && t('problem.refund_exceeds_payment')) || errorAt('/amount');
    const submit = () => {
        setTried(true);
        return reference.trim() && amount > 0 && !isMore ? send.submit({ reference: reference.trim(), amount }) : undefined;
    };
    const fields = html`<div class="pair">
        <${TextField} label=${t('money.reference')} hint=${words} value=${reference} onText=${setReference} error=${wrongReference}
            spellcheck=${false} required />
        <${Field} label=${t('money.amount', { currency })} error=${wrongAmount}>${(its) => html`<input ...${its} inputmode="decimal" autocomplete="off"
            maxlength="16" required value=${text} onInput=${(event) => setText(event.target.value)} />`}<//>
    </div>`;
    return { send: { ...send, problem: rest }, submit, fields };
}

export function Pay({ order, onClose, onRefused }) {
    const { status, payment } = order;
    const isOver = ['rejected', 'cancelling', 'cancelled'].includes(status);
    const isLate = ['expiring', 'expired'].includes(status);
    const { send, submit, fields } = useMoney({
        order, path: 'pay', start: payment.amount || order.total, most: Infinity, words: t('pay.reference'), onRefused,
    });
    const done = (answer) => {
        if (answer) sayDone('pay.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('pay.title')} action=${t('pay.do')} send=${send} onClose=${done} onSubmit=${submit}>
        <p>${t(isOver ? 'pay.note.over' : isLate ? 'pay.note.late' : 'pay.note')}</p>
        ${fields}
        <p class="preview">${t(isOver ? 'pay.preview.over' : 'pay.preview', { amount: money(payment.amount || order.total, order.currency) })}</p>
    <//>`;
}

export function Refund({ order, onClose, onRefused }) {
    const { payment, currency } = order;
    const most = sum([payment.paid, -payment.refunded], currency);
    const { send, submit, fields } = useMoney({
        order, path: 'refunds', start: payment.refund_due, most, words: t('refund.reference'), onRefused,
    });
    const done = (answer) => {
        if (answer) sayDone('refund.done', answer);
        onClose(answer);
    };
    return html`<${Ask} title=${t('refund.title')} action=${t('refund.do')} send=${send} onClose=${done} onSubmit=${submit}>
        <p>${t('refund.note')}</p>
        ${fields}
        <p class="preview">${t('refund.preview', { owed: money(payment.refund_due, currency), most: money(most, currency) })}</p>
    <//>`;
}
