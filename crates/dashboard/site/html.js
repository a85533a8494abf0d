// The library of views, in one place: `html` makes elements out of templates.
import { h } from './vendor/preact/preact.js';
import htm from './vendor/htm/htm.js';

export { Component, createContext, h, render } from './vendor/preact/preact.js';
export {
    useCallback, useContext, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState,
} from './vendor/preact/hooks.js';

export const html = htm.bind(h);
