// The state of the connection, in words.

import { h } from './element.js';
import { text } from './language.js';

/** Describes the account's state: { tone, words, retry, again }. onLine is navigator.onLine.
 * retry: offer to retry now. again: offer to connect again. */
export function describe(state, now, onLine = true) {
  switch (state.name) {
    case 'online':
      return { tone: 'good', words: text.online };
    case 'connecting':
    case 'idle':
      return { tone: 'wait', words: state.attempt ? text.reconnecting : text.connecting };
    case 'offline':
      if (!onLine) return { tone: 'bad', words: text.noNetwork };
      return { tone: 'bad', words: text.noConnection(Math.max(1, Math.ceil((state.retryAt - now) / 1000))), retry: true };
    case 'resting':
      return { tone: 'wait', words: text.resting };
    default:
      return { tone: 'bad', words: text.ended, again: true };
  }
}

/** A line that shows the state, until close. */
export class Status {
  element = h('div.status', { 'data-testid': 'connection' });
  #account;
  #timer = 0;
  #shown = '';

  constructor(account) {
    this.#account = account;
    this.stop = account.changed.on(() => this.show());
    this.show();
  }

  show() {
    clearTimeout(this.#timer);
    const { state } = this.#account;
    const { tone, words, retry, again } = describe(state, Date.now(), navigator.onLine);
    if (state.name === 'offline') this.#timer = setTimeout(() => this.show(), 1000);
    this.element.dataset.tone = tone;
    if (words === this.#shown) return;
    this.#shown = words;
    const button = (retry || again) && h('button.link', { onclick: () => (retry ? this.#account.retryNow() : this.#account.take()) }, text.retryNow);
    const kept = this.element.querySelector('button');
    if (kept && button) this.element.querySelector('.words').textContent = words; // keep the button: it may have the focus
    else this.element.replaceChildren(h('span.dot'), h('span.words', {}, words), ...(button ? [button] : []));
  }

  close() {
    clearTimeout(this.#timer);
    this.stop();
  }
}
