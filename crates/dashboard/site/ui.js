// The parts that all pages are made of.
import { html, useEffect, useLayoutEffect, useRef, useState } from './html.js';
import { link, store, useStore } from './store.js';
import { Foreign, has, t } from './text.js';

const PATHS = {
    overview: 'M3 13h5V3H3zM12 17h5V8h-5zM3 17h5v-1.5H3zM12 5h5V3h-5z',
    orders: 'M5 2.5h10v15l-2.5-1.6L10 17.5l-2.5-1.6L5 17.5zM8 7h4M8 10.5h4',
    stock: 'M3 6.5 10 3l7 3.5v7L10 17l-7-3.5zM3 6.5l7 3.5 7-3.5M10 10v7',
    import: 'M10 3v9M6.5 8.5 10 12l3.5-3.5M3.5 14v2.5h13V14',
    trouble: 'M10 3 17.5 16.5h-15zM10 8v4M10 14.3v.2',
    check: 'M4 10.5 8 14.5 16 6',
    cross: 'M5 5l10 10M15 5 5 15',
    search: 'M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM12.7 12.7 17 17',
    sun: 'M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1',
    moon: 'M16 11.5A6.5 6.5 0 0 1 8.5 4 6.5 6.5 0 1 0 16 11.5z',
    auto: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
    language: 'M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM3 10h14M10 3c2.5 2 3 4.5 3 7s-.5 5-3 7c-2.5-2-3-4.5-3-7s.5-5 3-7z',
    keyboard: 'M2.5 5.5h15v9h-15zM5.5 8.5v0M8.5 8.5v0M11.5 8.5v0M14.5 8.5v0M6.5 11.5h7',
    out: 'M8 3.5H4v13h4M12 6.5 15.5 10 12 13.5M15.5 10H8',
    copy: 'M7 7h9v9H7zM13 4H4v9',
    right: 'M8 5l5 5-5 5',
    left: 'M12 5l-5 5 5 5',
    plus: 'M10 4v12M4 10h12',
    book: 'M4 4.5c2-1 4-1 6 .5 2-1.5 4-1.5 6-.5v11c-2-1-4-1-6 .5-2-1.5-4-1.5-6-.5zM10 5v11',
    file: 'M5 2.5h6.5L15.5 6.5v11H5zM11.5 2.5v4h4',
    retry: 'M15.5 7A6.3 6.3 0 1 0 16.3 11M16 3.5V7h-3.5',
    more: 'M5 10v0M10 10v0M15 10v0',
};
export const Icon = ({ name, size = 16 }) => html`
    <svg class="icon" width=${size} height=${size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        <path d=${PATHS[name]} />
    </svg>`;

export const LOGO = new URL('icon.svg', import.meta.url).href;

// The heading of a page. It takes the focus when the page changes, so that readers hear where they are.
export function Title({ text, children, note, back }) {
    useEffect(() => {
        document.title = `${text} · Lastro`;
    }, [text]);
    return html`<header class="title">
        <div class="title-text">
            ${back && html`<a class="back" href=${back.href}><${Icon} name="left" size=${14} />${back.text}</a>`}
            <h1 tabindex="-1">${text}</h1>
            ${note && html`<div class="muted">${note}</div>`}
        </div>
        <div class="actions">${children}</div>
    </header>`;
}

export function Card({ title, note, actions, children, kind = '', id }) {
    const own = useRef(id ?? `card-${Math.random().toString(36).slice(2, 9)}`).current;
    return html`<section class=${`card ${kind}`} aria-labelledby=${title ? own : undefined}>
        ${title && html`<header class="card-head">
            <h2 id=${own}>${title}</h2>
            ${note && html`<span class="muted">${note}</span>`}
            <div class="actions">${actions}</div>
        </header>`}
        ${children}
    </section>`;
}

export const Status = ({ is }) => html`<span class=${`status ${is}`}>${t(`status.${is}`)}</span>`;

// An id of an order: its end, because the beginnings of ids of one hour are the same.
export const shortId = (id) => (id?.length > 16 ? `…${id.slice(-8)}` : id);
export const OrderLink = ({ id }) => html`<a class="mono" href=${link(['orders', id])} title=${id}>${shortId(id)}</a>`;
export const ProductLink = ({ id, name }) => html`<a href=${link(['stock', id])}>${name ?? id}</a>`;

export function Button({ children, icon, busy, kind = '', ...its }) {
    return html`<button type="button" ...${its} class=${`button ${kind}`} aria-disabled=${busy || its.disabled ? 'true' : undefined}
        aria-busy=${busy ? 'true' : undefined}>
        ${busy ? html`<span class="spinner" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} size=${15} />`}
        ${children && html`<span>${children}</span>`}
    </button>`;
}

export function Skeleton({ rows = 4, height = 18 }) {
    return html`<div class="skeleton" role="status">
        <span class="hidden">${t('state.loading')}</span>
        ${Array.from({ length: rows }, (_, at) => html`<i key=${at} style=${{ height: `${height}px`, width: `${96 - (at * 23) % 40}%` }}></i>`)}
    </div>`;
}

export const Empty = ({ icon = 'check', title, children }) => html`<div class="empty">
    <span class="empty-icon"><${Icon} name=${icon} size=${20} /></span>
    <strong>${title}</strong>
    ${children && html`<p>${children}</p>`}
</div>`;

// What to say of a problem in the reader's language. The service explains it in English.
export const problemTitle = (problem) => (has(`problem.${problem.code}`) ? t(`problem.${problem.code}`)
    : t('problem.other', { status: problem.status }));

export function ProblemNote({ problem, onRetry, kind = '' }) {
    if (!problem) return null;
    const { detail, errors = [], requestId } = problem;
    return html`<div class=${`note bad ${kind}`} role="alert">
        <div>
            <strong>${problemTitle(problem)}</strong>
            ${errors.length > 0 && html`<ul>${errors.slice(0, 8).map((its) => html`<li key=${its.pointer ?? its.parameter}>
                <span class="mono">${(its.pointer ?? its.parameter ?? '').replace(/^\//, '')}</span>${' '}
                ${has(`fault.${its.code}`) ? t(`fault.${its.code}`) : its.code}</li>`)}</ul>`}
            ${(detail || requestId) && html`<details>
                <summary>${t('problem.details')}</summary>
                ${detail && html`<${Foreign} tag="p">${detail}<//>`}
                ${requestId && html`<p>${t('problem.request')} <code>${requestId}</code></p>`}
            </details>`}
        </div>
        ${onRetry && html`<${Button} icon="retry" onClick=${onRetry}>${t('action.retry')}<//>`}
    </div>`;
}

// Waiting, failed, or there. What was there stays while a newer answer fails.
export function Loaded({ its, rows, children, absent }) {
    const { data, problem, reload } = its;
    if (data !== undefined) {
        return html`${problem && html`<${ProblemNote} problem=${problem} onRetry=${reload} kind="inline" />`}${children(data)}`;
    }
    if (!problem) return html`<${Skeleton} rows=${rows} />`;
    if (absent && (problem.code === 'not_found' || problem.code === 'method_not_allowed')) return absent;
    return html`<${ProblemNote} problem=${problem} onRetry=${reload} />`;
}

// A table with a caption for screen readers. `columns`: {name, title, kind}; a row is a list of cells.
export function Table({ caption, columns, children, kind = '' }) {
    return html`<div class="table-wrap" role="region" aria-label=${caption} tabindex="0">
        <table class=${kind} role="table">
            <caption class="hidden">${caption}</caption>
            <thead role="rowgroup"><tr role="row">${columns.map(({ title, kind: its, hide }) => html`
                <th key=${title} scope="col" role="columnheader" class=${its ?? ''}>${hide ? html`<span class="hidden">${title}</span>` : title}</th>`)}
            </tr></thead>
            <tbody role="rowgroup">${children}</tbody>
        </table>
    </div>`;
}

export function Pager({ pages, next }) {
    if (pages.number === 1 && !next) return null;
    return html`<nav class="pager" aria-label=${t('pages.label')}>
        <${Button} icon="left" disabled=${pages.number === 1} onClick=${() => pages.number > 1 && pages.back()}>${t('pages.back')}<//>
        <span class="muted">${t('pages.number', { n: pages.number })}</span>
        <${Button} disabled=${!next} onClick=${() => next && pages.next(next)}>${t('pages.next')} <${Icon} name="right" size=${14} /><//>
    </nav>`;
}

// A modal dialog: the browser keeps the focus in it, and Escape closes it.
export function Dialog({ title, onClose, children, wide }) {
    const its = useRef(null);
    const id = useRef(`dialog-${Math.random().toString(36).slice(2, 9)}`).current;
    useLayoutEffect(() => {
        const before = document.activeElement;
        const dialog = its.current;
        dialog.showModal();
        dialog.querySelector('[autofocus], input, select, textarea, .primary')?.focus();
        return () => {
            dialog.close();
            if (before?.isConnected) before.focus();
        };
    }, []);
    const onCancel = (event) => {
        event.preventDefault();
        onClose();
    };
    return html`<dialog ref=${its} class=${wide ? 'wide' : ''} aria-labelledby=${id} onCancel=${onCancel}
        onMouseDown=${(event) => event.target === its.current && onClose()}>
        <div class="dialog-body">
            <header><h2 id=${id}>${title}</h2>
                <button type="button" class="plain" aria-label=${t('action.close')} onClick=${onClose}><${Icon} name="cross" /></button>
            </header>
            ${children}
        </div>
    </dialog>`;
}

// A dialog that asks, with a form. `onSubmit` answers what is shown; it closes if that is defined. A
// form that was sent before with other content is not sent again: its first sending may have counted.
export function Ask({ title, onClose, send, onSubmit, action, kind = 'primary', children, wide }) {
    const isUsed = send.problem?.code === 'idempotency_key_reused';
    const submit = async (event) => {
        event.preventDefault();
        if (isUsed) return;
        const { target } = event;
        const answer = await onSubmit();
        if (answer !== undefined) onClose(answer);
        // What is wrong is read out where it is: the error belongs to the field.
        else setTimeout(() => target.querySelector('[aria-invalid="true"]')?.focus());
    };
    return html`<${Dialog} title=${title} onClose=${() => onClose()} wide=${wide}>
        <form onSubmit=${submit} noValidate>
            <div class="dialog-content">${children}
                <${ProblemNote} problem=${send.problem} />
            </div>
            <footer>
                <${Button} onClick=${() => onClose()}>${t('action.back')}<//>
                <${Button} type="submit" kind=${kind} busy=${send.busy} disabled=${isUsed}>${action}<//>
            </footer>
        </form>
    <//>`;
}

export function Field({ label, hint, error, children }) {
    const id = useRef(`field-${Math.random().toString(36).slice(2, 9)}`).current;
    const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ') || undefined;
    return html`<div class=${`field ${error ? 'wrong' : ''}`}>
        <label for=${id}>${label}</label>
        ${children({ id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined })}
        ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
        ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
    </div>`;
}

export const Advice = ({ children }) => html`<p class="card-text advice"><b>${t('trouble.what-to-do')}</b> ${children}</p>`;

// Short notices at the edge of the page, which screen readers read out.
const notices = store([]);
let number = 0;
export function say(text, kind = 'good') {
    number += 1;
    const its = { id: number, text, kind };
    notices.set([...notices.get().slice(-2), its]);
    setTimeout(() => notices.set(notices.get().filter((other) => other !== its)), 6000);
}
export const Notices = () => html`<div class="notices" role="status" aria-live="polite">
    ${useStore(notices).map(({ id, text, kind }) => html`<div key=${id} class=${`notice ${kind}`}>
        <${Icon} name=${kind === 'good' ? 'check' : 'trouble'} />${text}</div>`)}
</div>`;

export function Copy({ text, label }) {
    const [done, setDone] = useState(false);
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
            setDone(true);
            setTimeout(() => setDone(false), 1500);
        } catch { /* not allowed */ }
    };
    return html`<button type="button" class="plain" aria-label=${label} title=${label} onClick=${copy}>
        <${Icon} name=${done ? 'check' : 'copy'} size=${14} /></button>`;
}
