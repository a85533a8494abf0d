// Stock from a file: look at what it would change, then let it.
import { html, useEffect, useRef, useState } from '../html.js';
import { lines, newKey, request } from '../api.js';
import { askBeforeLeaving, link, mayLeave } from '../store.js';
import { has, language, number, t } from '../text.js';
import { Button, Card, Field, Icon, ProblemNote, Table, Title } from '../ui.js';

const MAX_BYTES = 64 * 1024 * 1024;
// How many rows the page holds of each kind. The counts are of all.
const KEPT = 200;
const STEP_MS = 250;
const HOUR_MS = 3_600_000;
const fresh = () => ({ rows: 0, errors: [], changes: [], counts: {}, done: null });

export function Import() {
    const [file, setFile] = useState(null);
    const [reason, setReason] = useState('');
    const [tried, setTried] = useState(false);
    // `choose`, `checking`, `checked`, `importing`, `interrupted`, `imported`.
    const [step, setStep] = useState('choose');
    const [result, setResult] = useState(fresh());
    const [problem, setProblem] = useState(null);
    const running = useRef(null);
    const key = useRef('');
    // What the file would change. The reader sees it again if the service refuses the import.
    const preview = useRef(fresh());
    useEffect(() => () => running.current?.abort(), []);
    const isOpen = step === 'importing' || step === 'interrupted';
    useEffect(() => {
        askBeforeLeaving(isOpen ? t('import.leave') : null);
        return () => askBeforeLeaving(null);
    }, [isOpen]);

    const reset = () => {
        if (!mayLeave()) return;
        running.current?.abort();
        setFile(null);
        setStep('choose');
        setResult(fresh());
        setProblem(null);
        setTried(false);
    };
    const run = async (its, isDry, words) => {
        running.current?.abort();
        const controller = new AbortController();
        running.current = controller;
        setProblem(null);
        setStep(isDry ? 'checking' : 'importing');
        setResult(fresh());
        try {
            const ended = await read(its, isDry, words, isDry ? null : key.current, controller.signal, setResult);
            if (ended.problem) throw ended.problem;
            if (isDry) preview.current = ended.result;
            setStep(isDry ? 'checked' : 'imported');
        } catch (error) {
            if (controller.signal.aborted) return;
            setProblem(error.code ? error : { status: 0, code: 'unreachable', errors: [] });
            if (isDry) {
                setStep('choose');
            } else if (error.status >= 400 && error.status < 500 && step !== 'interrupted') {
                // Refused before the first row.
                setResult(preview.current);
                setStep('checked');
            } else {
                setStep('interrupted');
            }
        }
    };
    const choose = (its) => {
        if (!its) return;
        key.current = newKey();
        setFile(its);
        if (its.size > MAX_BYTES) setProblem({ status: 413, code: 'body_too_large', errors: [] });
        else run(its, true, t('import.check'));
    };
    const confirm = (event) => {
        event.preventDefault();
        setTried(true);
        if (reason.trim()) run(file, false, reason.trim());
    };
    return html`
        <${Title} text=${t('import.title')} note=${t('import.note')} back=${{ href: link(['stock']), text: t('stock.title') }} />
        <${Steps} step=${step} />
        ${step === 'choose' && html`<${Choose} onFile=${choose} problem=${problem} file=${file} />`}
        ${step !== 'choose' && html`
            <${Card} title=${file.name} note=${t('import.size', { n: Math.max(1, Math.round(file.size / 1024)) })}
                actions=${html`<${Button} onClick=${reset}>${t(step === 'imported' ? 'import.another' : 'import.other')}<//>`}>
                <${Progress} step=${step} result=${result} />
                <${Counts} step=${step} result=${result} />
            <//>
            ${problem && html`<${ProblemNote} problem=${problem} />`}
            ${step === 'interrupted' && html`<${Interrupted} onContinue=${() => run(file, false, reason.trim())} />`}
            ${step === 'checked' && html`<${Confirm} result=${result} reason=${reason} setReason=${setReason} wrong=${tried && !reason.trim()} onSubmit=${confirm} />`}
            <${Errors} result=${result} />
            <${Changes} result=${result} step=${step} />`}`;
}

// Reads the answer line by line, and shows it four times a second.
async function read(file, isDry, reason, key, signal, show) {
    const type = /\.(ndjson|jsonl)$/i.test(file.name) ? 'application/x-ndjson' : 'text/csv';
    const response = await request('api/inventory/import', {
        method: 'POST',
        query: { reason, dry_run: isDry },
        headers: { 'content-type': type, accept: 'application/x-ndjson', ...(key && { 'idempotency-key': key }) },
        body: new Blob([file], { type }),
        deadline: HOUR_MS,
        signal,
        raw: true,
    });
    const result = fresh();
    let shown = 0;
    for await (const line of lines(response)) {
        if (line.done !== undefined) {
            result.done = line;
        } else {
            result.rows += 1;
            const kind = line.errors ? 'failed' : line.result;
            result.counts[kind] = (result.counts[kind] ?? 0) + 1;
            if (line.errors && result.errors.length < KEPT) result.errors.push(line);
            if (!line.errors && kind !== 'unchanged' && result.changes.length < KEPT) result.changes.push(line);
        }
        if (Date.now() - shown > STEP_MS) {
            shown = Date.now();
            show({ ...result });
        }
    }
    show({ ...result });
    const { done } = result;
    if (done?.done) return { result };
    // The status of what ended an import in its middle says nothing about the rows before.
    return { problem: { code: 'unreachable', errors: [], ...done?.problem, status: 0, requestId: done?.problem?.request_id } };
}

const isReal = (step) => ['importing', 'interrupted', 'imported'].includes(step);

function Steps({ step }) {
    const at = { choose: 0, checking: 1, checked: 1, importing: 2, interrupted: 2, imported: 2 }[step];
    return html`<ol class="steps" aria-label=${t('import.steps')}>${['file', 'preview', 'result'].map((name, its) => html`
        <li key=${name} class=${its < at ? 'past' : its === at ? 'now' : ''} aria-current=${its === at ? 'step' : undefined}>
            <i aria-hidden="true">${its < at ? html`<${Icon} name="check" size=${12} />` : number(its + 1)}</i>${t(`import.step.${name}`)}</li>`)}</ol>`;
}

function Choose({ onFile, problem, file }) {
    const [over, setOver] = useState(false);
    const drop = (event) => {
        event.preventDefault();
        setOver(false);
        onFile(event.dataTransfer.files[0]);
    };
    const drag = (event) => {
        event.preventDefault();
        setOver(true);
    };
    return html`<${Card}>
        <label class=${`drop ${over ? 'over' : ''}`} onDragOver=${drag} onDragLeave=${() => setOver(false)} onDrop=${drop}>
            <span class="empty-icon"><${Icon} name="file" size=${22} /></span>
            <strong>${t('import.choose')}</strong>
            <span class="muted">${t('import.choose.note')}</span>
            <input type="file" accept=".csv,.ndjson,.jsonl,text/csv" aria-label=${t('import.choose')}
                onChange=${(event) => onFile(event.target.files[0])} />
        </label>
        ${problem && html`<div class="card-text"><${ProblemNote} problem=${problem} onRetry=${file && (() => onFile(file))} /></div>`}
        <div class="card-text format">
            <h2>${t('import.format')}</h2>
            <p class="muted">${t('import.format.note')}</p>
            <pre tabindex="0" aria-label=${t('import.example')}><code translate="no">${'product_id,name,quantity,location_id\n789,"Coffee, ground, 500 g",60,main\nmug-white,"Mug, white",80,store'}</code></pre>
        </div>
    <//>`;
}

function Progress({ step, result }) {
    const isBusy = step === 'checking' || step === 'importing';
    const isGood = step !== 'interrupted';
    const text = isBusy || !isGood ? t(`import.${step}`, { n: result.rows }) : step === 'imported'
        ? t('import.done', { n: result.done?.changed ?? 0 }) : t('import.looked', { n: result.rows });
    return html`<div class="progress" role="status">
        ${isBusy ? html`<span class="spinner" aria-hidden="true"></span>` : html`
            <span class=${`round ${isGood ? 'good' : 'warn'}`}><${Icon} name=${isGood ? 'check' : 'trouble'} size=${14} /></span>`}
        <strong>${text}</strong>
    </div>
    ${isBusy && html`<div class="bar-busy" aria-hidden="true"><i></i></div>`}`;
}

function Counts({ step, result }) {
    const { counts, done } = result;
    const changed = done ? done.changed : (counts.counted ?? 0) + (counts.created ?? 0);
    const cells = [
        [isReal(step) ? 'changed' : 'would-change', changed, 'good'],
        ['created', counts.created ?? 0, ''],
        ...(counts.replayed ? [['replayed', counts.replayed, '']] : []),
        ['unchanged', counts.unchanged ?? 0, ''],
        ['failed', counts.failed ?? 0, counts.failed ? 'bad' : ''],
    ];
    return html`<dl class="counts">${cells.map(([name, n, kind]) => html`<div key=${name}><dt>${t(`import.count.${name}`)}</dt>
        <dd class=${n > 0 ? kind : ''} data-count=${name}>${number(n)}</dd></div>`)}</dl>`;
}

function Interrupted({ onContinue }) {
    return html`<div class="note warn"><div>
        <p>${t('import.interrupted.note')}</p>
        <${Button} kind="primary" icon="retry" onClick=${onContinue}>${t('import.continue')}<//></div></div>`;
}

function Confirm({ result, reason, setReason, wrong, onSubmit }) {
    const { changed = 0, failed = 0 } = result.done ?? {};
    if (changed === 0) return html`<div class="note"><div><strong>${t('import.nothing')}</strong></div></div>`;
    return html`<${Card} title=${t('import.confirm')}><form class="card-text" onSubmit=${onSubmit} noValidate>
        ${failed > 0 && html`<p>${t('import.confirm.failed', { n: failed })}</p>`}
        <${Field} label=${t('form.reason')} hint=${t('import.reason.hint')} error=${wrong && t('move.reason.wrong')}>${(its) => html`
            <input ...${its} maxlength="200" value=${reason} onInput=${(event) => setReason(event.target.value)} />`}<//>
        <${Button} type="submit" kind="primary">${t('import.do', { n: changed })}<//>
    </form><//>`;
}

function Errors({ result }) {
    if (result.errors.length === 0) return null;
    const columns = [{ title: t('import.line'), kind: 'num narrow' }, { title: t('order.product') }, { title: t('import.column') }, { title: t('import.error') }];
    const note = (result.counts.failed ?? 0) > KEPT ? t('import.first', { n: KEPT }) : '';
    return html`<${Card} title=${t('import.errors')} note=${note || t('import.errors.note')} kind="bad-card">
        <${Table} caption=${t('import.errors')} columns=${columns}>${result.errors.flatMap((row) => row.errors.map((its, at) => html`
            <tr key=${`${row.line} ${at}`}><td class="num">${number(row.line)}</td>
                <td class="mono">${row.product_id ?? '–'}</td><td class="mono">${its.column ?? '–'}</td>
                <td>${has(`fault.${its.code}`) ? t(`fault.${its.code}`) : its.code}
                    ${its.detail && language.get() === 'en' && html`<small class="muted">${its.detail}</small>`}</td></tr>`))}<//>
    <//>`;
}

function Changes({ result, step }) {
    if (result.changes.length === 0) return null;
    const columns = [{ title: t('import.line'), kind: 'num narrow wide' }, { title: t('order.product') }, { title: t('stock.location'), kind: 'wide' },
        { title: t('import.before'), kind: 'num' }, { title: t('import.after'), kind: 'num' }, { title: t('import.what'), kind: 'wide' }];
    const total = (result.counts.counted ?? 0) + (result.counts.created ?? 0) + (result.counts.replayed ?? 0);
    const title = t(isReal(step) ? 'import.changes.done' : 'import.changes');
    return html`<${Card} title=${title} note=${total > KEPT ? t('import.first', { n: KEPT }) : ''}>
        <${Table} caption=${title} columns=${columns}>${result.changes.map((row) => html`
            <tr key=${row.line}><td class="num wide muted">${number(row.line)}</td>
                <th scope="row"><a href=${link(['stock', row.product_id])}>${row.name ?? row.product_id}</a> <small class="mono muted">${row.product_id}</small></th>
                <td class="wide">${row.location_id}</td>
                <td class="num muted">${row.on_hand_before === null || row.on_hand_before === undefined ? '–' : number(row.on_hand_before)}</td>
                <td class="num"><b>${row.on_hand === undefined ? '–' : number(row.on_hand)}</b></td>
                <td class="wide">${t(`import.result.${row.result}`)}</td></tr>`)}<//>
    <//>`;
}
