// Short notes at the edge of the page, and what only a screen reader says.

import { h } from './element.js';
import { text } from './language.js';

const shownFor = 5000; // ms

const toasts = h('div.toasts', { role: 'status', 'aria-live': 'polite' });
const announcer = h('div.hidden', { role: 'log', 'aria-live': 'polite', 'data-testid': 'announcer' });

/** Puts the places for both into the page. */
export function place() {
  document.body.append(toasts, announcer);
}

export function toast(words) {
  for (const same of toasts.children) if (same.textContent === words) same.remove();
  const note = h('p.toast', {}, words);
  toasts.append(note);
  setTimeout(() => note.remove(), shownFor);
}

/** Has a screen reader say words. */
export function announce(words) {
  announcer.append(h('p', {}, words));
  while (announcer.childElementCount > 3) announcer.firstChild.remove();
}

/** What an error means to who sees it. */
export function explain(error) {
  return text.errors[error?.name] ?? text.errors.other;
}
