// Toasts: short notices that disappear by themselves. Announcements for screen readers.

import { h } from './element.js';
import { text } from './language.js';

const shownFor = 5000; // ms for which a toast is visible

const toasts = h('div.toasts', { role: 'status', 'aria-live': 'polite' });
const announcer = h('div.hidden', { role: 'log', 'aria-live': 'polite', 'data-testid': 'announcer' });

/** Adds the elements for both to the page. */
export function place() {
  document.body.append(toasts, announcer);
}

export function toast(words) {
  for (const same of toasts.children) if (same.textContent === words) same.remove();
  const note = h('p.toast', {}, words);
  toasts.append(note);
  setTimeout(() => note.remove(), shownFor);
}

/** Makes screen readers say words. */
export function announce(words) {
  announcer.append(h('p', {}, words));
  while (announcer.childElementCount > 3) announcer.firstChild.remove();
}

/** Returns the text to show for a ChatError. own has texts for the kind of request that
 * failed, such as text.joinErrors. */
export function explain(error, own) {
  return own?.[error?.name] ?? text.errors[error?.name] ?? text.errors.other;
}
