// The input field for messages.

import { h } from './element.js';
import { icon } from './icons.js';
import { text } from './language.js';
import { toast } from './toasts.js';

const longest = 32 << 10; // bytes of a message, at most
const typingEvery = 3000; // ms between typing events, at least

export class Composer {
  element;
  #send;
  #typed;
  #area;
  #typingSent = 0; // when the last typing event was sent

  /** draft is the initial text. typed(text) is called after each change, send(text) with a
   * message to send, and typing() at intervals while the user types. */
  constructor({ label, draft, typed, send, typing }) {
    this.#typed = typed;
    this.#send = send;
    this.#area = h('textarea', { rows: 1, 'aria-label': label, placeholder: label, enterkeyhint: 'send', dir: 'auto', value: draft, oninput: () => {
      this.#changed();
      if (this.#area.value && Date.now() - this.#typingSent > typingEvery) {
        this.#typingSent = Date.now();
        typing();
      }
    }, onkeydown: (event) => this.#keys(event) });
    this.element = h('form.composer', { onsubmit: (event) => {
      event.preventDefault();
      this.#go();
    } }, this.#area, h('button.send', { type: 'submit', 'aria-label': text.send, title: text.send }, icon('send')));
    this.#grow();
  }

  focus() {
    this.#area.focus({ preventScroll: true });
  }

  /** Must be called when the element has been added to the page. */
  placed() {
    this.#grow();
  }

  #keys(event) {
    // Enter may confirm a word in an input method (Chinese, Japanese). On touch
    // keyboards it starts a new line.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229 || matchMedia('(pointer: coarse)').matches) return;
    event.preventDefault();
    this.#go();
  }

  #go() {
    const words = (this.#area.value.toWellFormed?.() ?? this.#area.value).replace(/^\n+|\s+$/gu, '');
    if (!words) return;
    if (new TextEncoder().encode(words).length > longest) return toast(text.tooLong);
    this.#send(words);
    this.#area.value = '';
    this.#typingSent = 0;
    this.#changed();
    this.focus();
  }

  #changed() {
    this.#typed(this.#area.value);
    this.#grow();
  }

  /** Fits the height to the text, in browsers without field-sizing (style/room.css). */
  #grow() {
    this.element.dataset.empty = String(!this.#area.value.trim());
    if (CSS.supports('field-sizing', 'content')) return;
    this.#area.style.height = 'auto';
    this.#area.style.height = `${this.#area.scrollHeight}px`;
  }
}
