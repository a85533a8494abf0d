// The frame of the page: menu, addresses, signing in, shortcuts.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from './html.js';
import { Problem, exists, request, session, signIn, signOut } from './api.js';
import { WithHealth, useHealth } from './health.js';
import { liveState, startLive } from './live.js';
import { link, mayLeave, place, remembered, useStore } from './store.js';
import { TEXTS, language, number, t, useLanguage } from './text.js';
import { THEMES, chosen } from './theme.js';
import { Button, Dialog, Empty, Field, Icon, LOGO, Notices, ProblemNote, Title } from './ui.js';
import { Import } from './pages/import.js';
import { OrderPage } from './pages/order.js';
import { Orders } from './pages/orders.js';
import { Overview } from './pages/overview.js';
import { Product } from './pages/product.js';
import { Stock } from './pages/stock.js';
import { Trouble } from './pages/trouble.js';

const PAGES = ['overview', 'orders', 'stock', 'import', 'trouble'];
// Where a gateway publishes the descriptions of the services.
const LINKS_BEHIND_GATEWAY = ['orders/docs', 'inventory/docs'];
const KEYS = { o: 'orders', v: 'overview', s: 'stock', i: 'import', t: 'trouble' };
const shortcuts = remembered('shortcuts', ['on', 'off'], 'on');

function App({ config }) {
    const words = useLanguage();
    const state = useStore(session);
    useEffect(() => {
        document.documentElement.lang = words;
    }, [words]);
    if (state === 'needed') return html`<${SignIn} /><${Notices} />`;
    return html`<${WithHealth}><${Shell} config=${config} /><//>`;
}

function Shell({ config }) {
    const { parts, query } = useStore(place);
    const [helping, setHelping] = useState(false);
    const main = useRef(null);
    const name = parts[0] ?? 'overview';
    const path = parts.join('/');
    useShortcuts(() => setHelping(true));
    const first = useRef(true);
    useEffect(() => {
        if (!first.current) {
            scrollTo(0, 0);
            main.current.querySelector('h1')?.focus({ preventScroll: true });
        }
        first.current = false;
    }, [path]);
    const skip = (event) => {
        event.preventDefault();
        main.current.focus();
    };
    return html`<a class="skip" href="#main" onClick=${skip}>${t('nav.skip')}</a>
        <div class="shell">
            <${Side} name=${name} config=${config} onHelp=${() => setHelping(true)} />
            <main id="main" tabindex="-1" ref=${main}>
                <${Guarded} key=${path}><${Page} name=${name} parts=${parts} query=${query} config=${config} /><//>
                <${Foot} config=${config} />
            </main>
        </div>
        <${Notices} />
        ${helping && html`<${Help} onClose=${() => setHelping(false)} />`}`;
}

function Page({ name, parts, query, config }) {
    if (name === 'overview') return html`<${Overview} />`;
    if (name === 'orders' && parts[1]) return html`<${OrderPage} id=${parts[1]} config=${config} />`;
    if (name === 'orders') return html`<${Orders} query=${query} config=${config} />`;
    if (name === 'stock' && parts[1]) return html`<${Product} id=${parts[1]} query=${query} />`;
    if (name === 'stock') return html`<${Stock} query=${query} />`;
    if (name === 'import') return html`<${Import} />`;
    if (name === 'trouble') return html`<${Trouble} />`;
    return html`<${Title} text=${t('page.none')} /><${Empty} icon="search" title=${t('page.none')}>
        <a href=${link(['overview'])}>${t('nav.overview')}</a><//>`;
}

// A mistake in a page does not take the menu away.
function Guarded({ children }) {
    const [error, reset] = useErrorBoundary((its) => console.error(its));
    if (!error) return children;
    const problem = new Problem({ code: 'page', status: 0, detail: String(error), errors: [] });
    return html`<${ProblemNote} problem=${problem} onRetry=${reset} />`;
}

const Logo = () => html`<a class="logo" href=${link(['overview'])}>
    <img src=${LOGO} alt="" width="26" height="26" />Lastro</a>`;

function Side({ name, config, onHelp }) {
    const { total } = useHealth();
    return html`<div class="side-bar">
        <header class="brand"><${Logo} />${config.demo && html`<span class="tag">demo</span>`}<span class="phone-only"><${LiveDot} /></span></header>
        <nav class="menu" aria-label=${t('nav.label')}>${PAGES.map((page) => html`
            <a key=${page} href=${link([page])} aria-current=${page === name ? 'page' : undefined}>
                <${Icon} name=${page} size=${18} /><span>${t(`nav.${page}`)}</span>
                ${page === 'trouble' && total > 0 && html`<span class="count" aria-label=${t('nav.troubles', { n: total })}>${number(total)}</span>`}
            </a>`)}</nav>
        <div class="side-foot"><span class="wide-only"><${LiveDot} /></span><${Switches} onHelp=${onHelp} /></div>
    </div>`;
}

function LiveDot() {
    const its = useStore(liveState);
    return html`<span class=${`live ${its}`} role="status"><i aria-hidden="true"></i><span>${t(`live.${its}`)}</span></span>`;
}

function Switches({ onHelp }) {
    const look = useStore(chosen);
    const words = useStore(language);
    const state = useStore(session);
    const next = THEMES[(THEMES.indexOf(look) + 1) % THEMES.length];
    const icon = { auto: 'auto', light: 'sun', dark: 'moon' }[look];
    const label = t('theme.label', { theme: t(`theme.${look}`), next: t(`theme.${next}`) });
    return html`<div class="switches">
        <button type="button" class="plain" aria-label=${label} title=${label} onClick=${() => chosen.set(next)}><${Icon} name=${icon} size=${17} /></button>
        ${onHelp && html`<button type="button" class="plain wide-only" aria-label=${t('help.title')} title=${t('help.title')} onClick=${onHelp}>
            <${Icon} name="keyboard" size=${17} /></button>`}
        ${state === 'signed-in' && html`<button type="button" class="plain" aria-label=${t('session.out')} title=${t('session.out')} onClick=${() => mayLeave() && signOut()}>
            <${Icon} name="out" size=${17} /></button>`}
        <select class="plain" aria-label=${t('language.label')} value=${words} onChange=${(event) => language.set(event.target.value)}>
            ${Object.keys(TEXTS).map((its) => html`<option key=${its} value=${its} lang=${its}>${TEXTS[its]['language.name']}</option>`)}
        </select>
    </div>`;
}

function Foot({ config }) {
    const [links, setLinks] = useState([]);
    useEffect(() => {
        published(config).then(setLinks);
    }, [config]);
    return html`<footer class="foot">
        <span>Lastro ${config.version}</span>
        <nav aria-label=${t('foot.label')}>${links.map((its) => html`<a key=${its} href=${its}>${t(`foot.${its}`)}</a>`)}</nav>
    </footer>`;
}

// The pages that exist here: a gateway may publish fewer than the program has, or elsewhere.
async function published({ links }) {
    const found = await existing(links);
    return found.includes('docs') ? found : [...await existing(LINKS_BEHIND_GATEWAY), ...found];
}

async function existing(links) {
    const answers = await Promise.all(links.map((its) => exists(its)));
    return links.filter((_, at) => answers[at]);
}

// Opens the frame: asks for a key, and keeps it only if the service takes it.
function SignIn() {
    const [text, setText] = useState('');
    const [state, setState] = useState({ busy: false, problem: null });
    const submit = async (event) => {
        event.preventDefault();
        const key = text.trim();
        if (!key || state.busy) return;
        setState({ busy: true, problem: null });
        try {
            await request('version', { headers: { authorization: `Bearer ${key}` } });
            // A program may show its version to everybody.
            const { status } = await probe(key);
            if (status === 401) throw new Problem({ status, code: 'unauthenticated', errors: [] });
            signIn(key);
        } catch (problem) {
            setState({ busy: false, problem });
        }
    };
    useEffect(() => {
        document.title = `${t('session.title')} · Lastro`;
    });
    return html`<main class="sign-in" id="main">
        <div class="card">
            <div class="logo"><img src=${LOGO} alt="" width="34" height="34" /></div>
            <h1>${t('session.title')}</h1>
            <p class="muted">${t('session.note')}</p>
            <form onSubmit=${submit}>
                <${Field} label=${t('session.key')} hint=${t('session.hint')}>${(its) => html`
                    <input ...${its} type="password" autocomplete="off" spellcheck=${false} autofocus value=${text}
                        onInput=${(event) => setText(event.target.value)} />`}<//>
                <${ProblemNote} problem=${state.problem} />
                <${Button} type="submit" kind="primary full" busy=${state.busy}>${t('session.in')}<//>
            </form>
        </div>
        <${Switches} />
    </main>`;
}

async function probe(key) {
    try {
        await request('api/orders', { query: { limit: 1 }, headers: { authorization: `Bearer ${key}` } });
        return { status: 200 };
    } catch (problem) {
        // 403: the key is good, and may see other things.
        if (problem.status === 401 || problem.status === 403) return problem;
        throw problem;
    }
}

// `g` and a letter go to a page, `/` searches, `?` helps. They can be switched off.
function useShortcuts(onHelp) {
    useEffect(() => {
        let wasG = 0;
        const onKey = (event) => {
            const { target, key } = event;
            const isTyping = target.closest?.('input, textarea, select, dialog');
            if (shortcuts.get() === 'off' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
            if (key === '?') onHelp();
            else if (key === '/') {
                const search = document.getElementById('search');
                if (!search) return;
                event.preventDefault();
                search.focus();
            } else if (key === 'g') wasG = Date.now();
            else if (KEYS[key] && Date.now() - wasG < 1500) location.hash = link([KEYS[key]]);
        };
        addEventListener('keydown', onKey);
        return () => removeEventListener('keydown', onKey);
    }, []);
}

function Help({ onClose }) {
    const on = useStore(shortcuts) === 'on';
    const rows = [...Object.entries(KEYS).map(([key, page]) => [['g', key], t(`nav.${page}`)]),
        [['/'], t('help.search')], [['?'], t('help.this')], [['Esc'], t('help.close')]];
    return html`<${Dialog} title=${t('help.title')} onClose=${onClose}>
        <div class="dialog-content">
            <dl class="keys">${rows.map(([keys, what]) => html`<div key=${what}><dt>${what}</dt>
                <dd>${keys.map((key) => html`<kbd key=${key}>${key}</kbd>`)}</dd></div>`)}</dl>
            <label class="check"><input type="checkbox" checked=${on} onChange=${() => shortcuts.set(on ? 'off' : 'on')} />${t('help.on')}</label>
        </div>
    <//>`;
}

async function start() {
    let config = { demo: false, version: '', currency: 'BRL', links: [] };
    try {
        config = await request('dashboard/config.json');
    } catch { /* The page works without. */ }
    // One request finds out whether a key is needed: many without one would use up what the service
    // allows to strangers.
    try {
        await request('api/orders', { query: { limit: 1 } });
    } catch { /* The pages say so. */ }
    startLive();
    render(html`<${App} config=${config} />`, document.getElementById('app'));
}
start();
