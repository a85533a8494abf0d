// The texts in the reader's language, and numbers, money, times and durations as they write them.
import en from './text/en.js';
import ptBR from './text/pt-BR.js';
import { html } from './html.js';
import { remembered, useNow, useStore } from './store.js';

export const TEXTS = { en, 'pt-BR': ptBR };
const preferred = (navigator.languages ?? [navigator.language]).find((its) => /^(en|pt)/i.test(its)) ?? 'en';
export const language = remembered('language', Object.keys(TEXTS), /^pt/i.test(preferred) ? 'pt-BR' : 'en');

// Dates of an English page as the reader's own kind of English writes them.
const locale = () => (language.get() === 'en' && /^en/i.test(preferred) ? preferred : language.get());
const cache = new Map();
function formatter(kind, options) {
    const key = `${kind.name} ${locale()} ${JSON.stringify(options)}`;
    if (!cache.has(key)) cache.set(key, new kind(locale(), options));
    return cache.get(key);
}

const raw = (key) => TEXTS[language.get()][key] ?? TEXTS.en[key];
export const has = (key) => raw(key) !== undefined;

// A text with its `{names}` replaced. A text in several forms takes the one for `n`. Numbers are
// written as the language writes them; elements stay elements, and then the answer is a list.
export function t(key, values = {}) {
    let text = raw(key);
    if (text === undefined) return key;
    if (typeof text !== 'string') text = text[formatter(Intl.PluralRules).select(values.n)] ?? text.other;
    const parts = text.split(/\{(\w+)\}/).map((part, at) => {
        if (at % 2 === 0) return part;
        const value = values[part];
        return typeof value === 'number' ? number(value) : value ?? '';
    });
    return parts.every((part) => typeof part !== 'object') ? parts.join('') : parts;
}

export const number = (n, digits = 0) => formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(n);
export const signed = (n) => formatter(Intl.NumberFormat, { signDisplay: 'exceptZero' }).format(n);

// A rate: few digits, and as many as say something.
export const rate = (n) => formatter(Intl.NumberFormat, n >= 10 || n === 0
    ? { maximumFractionDigits: 0 } : { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(n);

export function money(amount, currency) {
    try {
        return formatter(Intl.NumberFormat, { style: 'currency', currency }).format(amount);
    } catch {
        return `${number(amount, 4)} ${currency}`;
    }
}

// An amount as one types it: without the currency, and without separators of thousands.
export const amountText = (amount, currency) => formatter(Intl.NumberFormat, {
    useGrouping: false, minimumFractionDigits: decimals(currency), maximumFractionDigits: decimals(currency),
}).format(amount);

// Sums without floats: in the currency's minor units.
export function times(price, quantity, currency) {
    const digits = decimals(currency);
    return Math.round(price * 10 ** digits) * quantity / 10 ** digits;
}

export function sum(amounts, currency) {
    const unit = 10 ** decimals(currency);
    return amounts.reduce((total, its) => total + Math.round(its * unit), 0) / unit;
}

export function decimals(currency) {
    try {
        return formatter(Intl.NumberFormat, { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;
    } catch {
        return 2;
    }
}

// A time span: "6 ms", "1.2 s", "3 min".
export function duration(ms) {
    const unit = (value, name, digits) => formatter(Intl.NumberFormat, {
        style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: digits,
    }).format(value);
    if (ms < 1000) return unit(ms, 'millisecond', ms < 10 ? 1 : 0);
    if (ms < 60_000) return unit(ms / 1000, 'second', ms < 10_000 ? 1 : 0);
    if (ms < 3_600_000) return unit(Math.floor(ms / 60_000), 'minute', 0);
    if (ms < 172_800_000) return unit(Math.floor(ms / 3_600_000), 'hour', 0);
    return unit(Math.floor(ms / 86_400_000), 'day', 0);
}

export const between = (from, to) => micros(to) - micros(from);

// Milliseconds with a fraction: `Date` drops the microseconds.
function micros(time) {
    const fraction = /\.\d{3}(\d+)/.exec(time)?.[1];
    return Date.parse(time) + (fraction ? Number(`0.${fraction}`) : 0);
}

export const clock = (time) => formatter(Intl.DateTimeFormat, { timeStyle: 'medium' }).format(new Date(time));
export const moment = (time) => formatter(Intl.DateTimeFormat, { dateStyle: 'medium', timeStyle: 'medium' })
    .format(new Date(time));
export const precise = (time) => formatter(Intl.DateTimeFormat, {
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
    fractionalSecondDigits: 3, timeZoneName: 'short',
}).format(new Date(time));

export function ago(time, now) {
    const ms = Math.max(0, now - Date.parse(time));
    if (ms < 5000) return t('time.now');
    const relative = formatter(Intl.RelativeTimeFormat, { numeric: 'always', style: 'short' });
    if (ms < 60_000) return relative.format(-Math.floor(ms / 1000), 'second');
    if (ms < 3_600_000) return relative.format(-Math.floor(ms / 60_000), 'minute');
    if (ms < 86_400_000) return relative.format(-Math.floor(ms / 3_600_000), 'hour');
    return moment(time);
}

// How long ago, with the time itself for who points at it.
export function Ago({ at }) {
    const now = useNow();
    return html`<time datetime=${at} title=${precise(at)}>${ago(at, now)}</time>`;
}

export function useLanguage() {
    return useStore(language);
}

export const list = (texts) => formatter(Intl.ListFormat, { type: 'conjunction' }).format(texts);
// Words of the service, which speaks English only.
export const Foreign = ({ children, tag = 'span' }) =>
    html`<${tag} lang="en" translate="no">${children}<//>`;
