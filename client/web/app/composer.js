// Where one writes.

import { h } from './element.js';
import { icon } from './icons.js';
import { text } from './language.js';
import { toast } from './toasts.js';

const longest = 32 << 10; // bytes of a message
const typingEvery = 3000; // ms between two notes of typing

export class Composer {
  element;
  #send;
  #typed;
  #area;
  #told = 0;

  /** draft is what was typed before; typed is told each change of it, send what is to be
   * sent, typing that somebody types. */
  constructor({ label, draft, typed, send, typing }) {
    this.#typed = typed;
    this.#send = send;
    this.#area = h('textarea', { rows: 1, 'aria-label': label, placeholder: label, enterkeyhint: 'send', dir: 'auto', value: draft, oninput: () => {
      this.#changed();
      if (this.#area.value && Date.now() - this.#told > typingEvery) {
        this.#told = Date.now();
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

  /** To be called once it is in the page. */
  placed() {
    this.#grow();
  }

  #keys(event) {
    // While a word is put together (Chinese, Japanese), Enter belongs to that. On a
    // phone's keyboard it begins a line.
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
    this.#told = 0;
    this.#changed();
    this.focus();
  }

  #changed() {
    this.#typed(this.#area.value);
    this.#grow();
  }

  /** As high as what is in it, for browsers that don't see to it (style/room.css: field-sizing). */
  #grow() {
    this.element.dataset.empty = String(!this.#area.value.trim());
    if (CSS.supports('field-sizing', 'content')) return;
    this.#area.style.height = 'auto';
    this.#area.style.height = `${this.#area.scrollHeight}px`;
  }
}
