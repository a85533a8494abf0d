// What went wrong or takes too long, and what to do about each.
import { html, useState } from '../html.js';
import { isAbsent, request } from '../api.js';
import { LATE_S, useHealth } from '../health.js';
import { usePages, useResource, useSend } from '../resource.js';
import { Ago, Foreign, duration, has, moment, number, t } from '../text.js';
import { Advice, Ask, Button, Card, Dialog, Empty, Loaded, OrderLink, Pager, ProblemNote, Table, Title, say } from '../ui.js';
import { Waiting, useWaiting } from './order/waiting.js';

export function Trouble() {
    const health = useHealth();
    return html`
        <${Title} text=${t('trouble.title')} note=${health.total === 0 ? t('trouble.none') : t('trouble.note')} />
        <${Pending} health=${health} />
        <${Money} payment="refund_due" />
        <${Money} payment="due" />
        <${Quarantine} health=${health} />
        <${Invariants} health=${health} />`;
}

// Orders whose money waits. That a payment is due is no trouble, unless it stays so.
function Money({ payment }) {
    const pages = usePages(payment);
    const orders = useWaiting(payment, 20, pages.cursor);
    return html`<${Waiting} payment=${payment} orders=${orders} pages=${pages} />`;
}

function Pending({ health }) {
    const pages = usePages('pending');
    const late = useResource('api/orders/pending', {
        query: { older_than_s: LATE_S, limit: 20, cursor: pages.cursor }, every: 5000,
    });
    const retry = useSend(async (id) => {
        const answer = await request(`api/orders/pending/${id}/retry`, { method: 'POST' });
        say(t('pending.retried'));
        late.reload();
        health.reload();
        return answer;
    });
    const columns = [{ title: t('orders.id') }, { title: t('pending.since'), kind: 'num' }, { title: t('pending.attempt'), kind: 'num wide' },
        { title: t('pending.next'), kind: 'num wide' }, { title: t('table.actions'), kind: 'num', hide: true }];
    const absent = html`<${Empty} icon="check" title=${t('trouble.not-here')} />`;
    return html`<${Card} title=${t('pending.title')} note=${t('pending.note', { age: duration(LATE_S * 1000) })}>
        <${Loaded} its=${late} rows=${3} absent=${absent}>${({ data, total, next_cursor: next }) => (data.length === 0
            ? html`<${Empty} icon="check" title=${t('pending.none')}>${t('pending.none.note')}<//>`
            : html`<${Advice}>${t('pending.advice', { n: total })}<//>
                <${ProblemNote} problem=${retry.problem} />
                <${Table} caption=${t('pending.title')} columns=${columns}>${data.map((its) => html`<tr key=${its.order_id}>
                    <th scope="row"><${OrderLink} id=${its.order_id} /></th>
                    <td class="num"><${Ago} at=${its.since} /></td>
                    <td class="num wide">${number(its.attempt)}</td>
                    <td class="num wide muted">${its.next_attempt_at ? moment(its.next_attempt_at) : '–'}</td>
                    <td class="num"><${Button} kind="small" icon="retry" busy=${retry.busy} onClick=${() => retry.submit(its.order_id)}>
                        ${t('pending.retry')}<//></td></tr>`)}<//>
                <${Pager} pages=${pages} next=${next} />`)}<//>
    <//>`;
}

const SERVICES = ['orders', 'inventory'];

function Quarantine({ health }) {
    const [service, setService] = useState('orders');
    const [seen, setSeen] = useState(false);
    const pages = usePages(`${service} ${seen}`);
    const path = `api/${service}/quarantine`;
    const entries = useResource(path, { query: { seen: seen ? null : false, limit: 20, cursor: pages.cursor }, every: 5000 });
    const [open, setOpen] = useState(null);
    const count = (its) => health.quarantine[SERVICES.indexOf(its)].data?.data.length ?? 0;
    const tabs = html`<div class="segmented" role="group" aria-label=${t('quarantine.service')}>${SERVICES.map((its) => html`
        <button key=${its} type="button" aria-pressed=${its === service ? 'true' : 'false'} onClick=${() => setService(its)}>
            ${t(`service.${its}`)}${count(its) > 0 && html` <span class="count">${number(count(its))}</span>`}</button>`)}</div>
        <label class="check"><input type="checkbox" checked=${seen} onChange=${(event) => setSeen(event.target.checked)} />${t('quarantine.seen')}</label>`;
    const columns = [{ title: t('quarantine.kind') }, { title: t('orders.id') }, { title: t('quarantine.reason'), kind: 'wide' },
        { title: t('quarantine.count'), kind: 'num wide' }, { title: t('quarantine.last'), kind: 'num' }, { title: t('table.actions'), kind: 'num', hide: true }];
    const close = () => {
        setOpen(null);
        entries.reload();
        health.reload();
    };
    const absent = html`<${Empty} icon="check" title=${t('trouble.not-here')} />`;
    return html`<${Card} title=${t('quarantine.title')} actions=${tabs}>
        <${Loaded} its=${entries} rows=${3} absent=${absent}>${({ data, next_cursor: next }) => (data.length === 0
            ? html`<${Empty} icon="check" title=${t('quarantine.none')}>${t('quarantine.none.note')}<//>`
            : html`<${Advice}>${t(`quarantine.advice.${service}`)}<//>
                <${Table} caption=${t('quarantine.title')} columns=${columns}>${data.map((its) => html`<tr key=${its.id} class=${its.discarded_at ? 'faded' : ''}>
                    <th scope="row"><span class=${`tag ${its.discarded_at ? '' : 'warn'}`}>${t(`quarantine.${its.kind}`)}</span></th>
                    <td>${its.order_id ? html`<${OrderLink} id=${its.order_id} />` : '–'}</td>
                    <td class="wide reason"><${Foreign}>${its.reason}<//></td>
                    <td class="num wide">${number(its.count)}</td>
                    <td class="num muted"><${Ago} at=${its.last_at} /></td>
                    <td class="num"><${Button} kind="small" onClick=${() => setOpen(its)}>${t('quarantine.look')}<//></td></tr>`)}<//>
                <${Pager} pages=${pages} next=${next} />`)}<//>
        ${open && html`<${Entry} service=${service} entry=${open} onClose=${close} />`}
    <//>`;
}

// One message that was set aside, and what can be done about it.
function Entry({ service, entry, onClose }) {
    const path = `api/${service}/quarantine/${entry.id}`;
    const whole = useResource(path);
    const [asking, setAsking] = useState(false);
    // The pending command is the Order Service's, also if the Inventory Service set the message aside.
    const retryPath = service === 'orders' ? `${path}/retry` : `api/orders/pending/${entry.order_id}/retry`;
    const retry = useSend(async () => {
        const answer = await request(retryPath, { method: 'POST' });
        say(t('pending.retried'));
        return answer;
    });
    const discard = useSend(() => request(`${path}/discard`, { method: 'POST' }));
    if (asking) {
        const done = (answer) => {
            if (!answer) {
                setAsking(false);
                return;
            }
            say(t('quarantine.discarded'));
            onClose();
        };
        return html`<${Ask} title=${t('quarantine.discard.title')} action=${t('quarantine.discard')} kind="danger" send=${discard}
            onClose=${done} onSubmit=${discard.submit}><p>${t('quarantine.discard.note')}</p><//>`;
    }
    return html`<${Dialog} title=${t(`quarantine.${entry.kind}`)} onClose=${onClose} wide>
        <div class="dialog-content">
            <p class="advice">${t(`quarantine.${entry.kind}.note`)}</p>
            <dl class="facts wide-facts">
                <dt>${t('orders.id')}</dt><dd>${entry.order_id ? html`<${OrderLink} id=${entry.order_id} />` : '–'}</dd>
                <dt>${t('quarantine.reason')}</dt><dd><${Foreign}>${entry.reason}<//></dd>
                <dt>${t('quarantine.count')}</dt><dd>${number(entry.count)}</dd>
                <dt>${t('quarantine.first')}</dt><dd>${moment(entry.first_at)}</dd>
                <dt>${t('quarantine.last')}</dt><dd>${moment(entry.last_at)}</dd>
                ${entry.discarded_at && html`<dt>${t('quarantine.discarded-at')}</dt><dd>${moment(entry.discarded_at)} ${entry.discarded_by ? t('event.by', { who: entry.discarded_by }) : ''}</dd>`}
            </dl>
            <h3>${t('quarantine.message', { n: entry.length })}</h3>
            <${Loaded} its=${whole} rows=${4}>${(its) => html`<pre class="message" tabindex="0" aria-label=${t('quarantine.message', { n: entry.length })}><code translate="no">${
                its.message === undefined || its.message === null ? its.message_base64 : pretty(its.message)}</code></pre>
                ${its.truncated && html`<p class="muted">${t('quarantine.truncated')}</p>`}`}<//>
            <${ProblemNote} problem=${retry.problem} />
        </div>
        <footer>
            <${Button} onClick=${onClose}>${t('action.close')}<//>
            ${!entry.discarded_at && html`<${Button} kind="danger" onClick=${() => setAsking(true)}>${t('quarantine.discard')}<//>`}
            ${entry.order_id && html`<${Button} kind="primary" icon="retry" busy=${retry.busy} onClick=${retry.submit}>${t('pending.retry')}<//>`}
        </footer>
    <//>`;
}

function pretty(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
}

function Invariants({ health }) {
    const columns = [{ title: t('audit.invariant') }, { title: t('audit.says') }, { title: t('audit.checked'), kind: 'num wide' },
        { title: t('audit.violations'), kind: 'num' }];
    const offenders = health.audits.flatMap((its) => its.data?.offenders ?? []);
    const problems = health.audits.map((its) => its.problem).filter((its) => its && !isAbsent(its));
    const isWaiting = health.audits.some((its) => its.busy && !its.data && !its.problem);
    return html`<${Card} title=${t('audit.title')} note=${health.checkedAt && html`${t('audit.last')} <${Ago} at=${health.checkedAt} />`}>
        ${problems.slice(0, 1).map((its) => html`<${ProblemNote} problem=${its} onRetry=${health.reload} />`)}
        ${health.isFailing && html`<${Advice}>${t('audit.failing')}<//>`}
        ${health.isStopped && html`<${Advice}>${t('audit.stopped')}<//>`}
        ${health.violations > 0 && html`<${Advice}>${t('audit.advice')}<//>`}
        ${health.invariants.length === 0 && problems.length === 0 && html`<${Empty} icon="book" title=${t(isWaiting ? 'state.loading' : 'trouble.not-here')} />`}
        ${health.invariants.length > 0 && html`<${Table} caption=${t('audit.title')} columns=${columns}>${health.invariants.map((its) => html`
            <tr key=${its.name}><th scope="row" class="mono">${its.name}</th>
                <td>${has(`invariant.${its.name}`) ? t(`invariant.${its.name}`) : html`<${Foreign}>${its.says}<//>`}</td>
                <td class="num wide muted">${number(its.checked)}</td>
                <td class="num">${its.violations > 0 ? html`<b class="bad-text">${number(its.violations)}</b>` : html`<span class="good-text">${t('audit.none')}</span>`}</td></tr>`)}<//>`}
        ${offenders.length > 0 && html`<h3 class="card-text">${t('audit.offenders')}</h3><ul class="rows">${offenders.slice(0, 50).map((its, at) => html`
            <li key=${at}><div><span class="tag bad">${its.invariant}</span> <${Foreign}>${its.offender}<//></div>
                <div class="end muted"><${Ago} at=${its.found_at} /></div></li>`)}</ul>`}
    <//>`;
}
