// Light or dark: as the system says, or as the reader chose.
import { remembered, store } from './store.js';

export const THEMES = ['auto', 'light', 'dark'];
export const chosen = remembered('theme', THEMES, 'auto');
const system = matchMedia('(prefers-color-scheme: dark)');
const current = () => (chosen.get() === 'auto' ? (system.matches ? 'dark' : 'light') : chosen.get());
// What is shown: `light` or `dark`.
export const theme = store(current());

function show() {
    document.documentElement.dataset.theme = current();
    theme.set(current());
}
chosen.watch(show);
system.addEventListener('change', show);
show();
