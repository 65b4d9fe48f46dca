// Unsent input of each conversation. It is stored in the browser, so it survives
// a reload and is the same in all tabs.

import { load, save } from './storage.js';

export class Drafts {
  #user;

  constructor(user) {
    this.#user = user;
  }

  get(key) {
    const text = load(`drafts.${this.#user}.${key}`, '');
    return typeof text === 'string' ? text : '';
  }

  set(key, text) {
    save(`drafts.${this.#user}.${key}`, text);
  }
}
