// Charts over time, with a text for who does not see them.
import uPlot from './vendor/uplot/uPlot.js';
import { html, useEffect, useRef } from './html.js';
import { useStore } from './store.js';
import { language } from './text.js';
import { theme } from './theme.js';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faint = (text, share) => `color-mix(in srgb, ${text} ${share}%, transparent)`;

// Whole numbers: of orders and units there are no halves.
const STEPS = [1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9].flatMap((n) => [n, 2 * n, 5 * n]);

// What an axis of times shows: all of them, and what is before them if they span less than this. Of a
// single time, uPlot would show the years that follow.
const LEAST_S = 10;
const LEAST_OF_ONE_DATE_S = 86_400;
const span = (dates) => ({ data: [times] }, low, high) => {
    if (times.length === 0) return [low, high];
    const least = !dates ? LEAST_S : times.length === 1 ? LEAST_OF_ONE_DATE_S : 0;
    const last = times.at(-1);
    return [Math.min(times[0], last - least), last];
};

// A box that follows the pointer and names the values.
function tooltip(series, value) {
    let box;
    return {
        hooks: {
            init: (plot) => {
                box = document.createElement('div');
                box.className = 'tooltip';
                box.hidden = true;
                plot.over.append(box);
                plot.over.addEventListener('mouseleave', () => { box.hidden = true; });
            },
            setCursor: (plot) => {
                const { idx, left } = plot.cursor;
                box.hidden = idx === null || idx === undefined || left < 0;
                if (box.hidden) return;
                const time = document.createElement('strong');
                time.textContent = new Intl.DateTimeFormat(language.get(), { dateStyle: series.dates ? 'medium' : undefined, timeStyle: 'medium' })
                    .format(plot.data[0][idx] * 1000);
                const rows = series.list.map(({ label, stroke }, at) => {
                    const row = document.createElement('div');
                    const dot = document.createElement('i');
                    dot.style.background = colour(stroke);
                    const number = document.createElement('b');
                    number.textContent = value(plot.data[at + 1][idx]);
                    row.append(dot, label, number);
                    return row;
                });
                box.replaceChildren(time, ...rows);
                const isRight = left > plot.over.clientWidth / 2;
                box.style.left = isRight ? 'auto' : `${left + 12}px`;
                box.style.right = isRight ? `${plot.over.clientWidth - left + 12}px` : 'auto';
            },
        },
    };
}

// `series`: {label, stroke: name of a colour, fill, stepped}. `data`: times in seconds, then a list per series.
export function Chart({ series, data, height = 220, label, value = String, dates = false, floor = 4 }) {
    const home = useRef(null);
    const plot = useRef(null);
    const look = useStore(theme);
    const words = useStore(language);

    useEffect(() => {
        const axis = {
            stroke: colour('muted'),
            font: '12px system-ui, sans-serif',
            grid: { stroke: colour('line'), width: 1 },
            ticks: { show: false },
        };
        const clock = new Intl.DateTimeFormat(words, { timeStyle: 'short' });
        const seconds = new Intl.DateTimeFormat(words, { timeStyle: 'medium' });
        const day = new Intl.DateTimeFormat(words, { day: 'numeric', month: 'short' });
        const tick = (time, step) => (step < 60 ? seconds : step < 86_400 ? clock : day).format(time * 1000);
        const numbers = new Intl.NumberFormat(words, { notation: 'compact', maximumFractionDigits: 1 });
        const its = new uPlot({
            width: home.current.clientWidth,
            height,
            padding: [12, 38, 0, 0],
            legend: { show: false },
            cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
            scales: {
                x: { time: true, range: span(dates) },
                y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(floor, (high ?? 0) * 1.08)] },
            },
            axes: [
                { ...axis, grid: { show: false }, space: 90, size: 30, values: (_, at, __, ___, step) => at.map((time) => tick(time, step)) },
                { ...axis, size: 44, space: 44, incrs: STEPS, values: (_, at) => at.map((n) => numbers.format(n)) },
            ],
            series: [{}, ...series.map(({ label: name, stroke, fill, stepped }) => ({
                label: name,
                stroke: colour(stroke),
                width: 1.75,
                fill: fill ? faint(colour(stroke), 12) : undefined,
                points: { show: false },
                paths: stepped ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.linear(),
            }))],
            plugins: [tooltip({ list: series, dates }, value)],
        }, data, home.current);
        plot.current = its;
        const watch = new ResizeObserver(() => {
            const width = home.current?.clientWidth;
            if (width && width !== its.width) its.setSize({ width, height });
        });
        watch.observe(home.current);
        return () => {
            watch.disconnect();
            its.destroy();
            plot.current = null;
        };
    }, [look, words, height, series.map((its) => its.label + its.stroke).join()]);

    useEffect(() => {
        plot.current?.setData(data);
    }, [data]);

    return html`<figure class="chart" aria-label=${label}>
        <figcaption class="legend">${series.map(({ label: name, stroke, total }) => html`
            <span key=${name}><i class=${`dot ${stroke}`}></i>${name}${total !== undefined && html` <b>${total}</b>`}</span>`)}
        </figcaption>
        <div ref=${home} class="plot" aria-hidden="true"></div>
    </figure>`;
}
