// What was typed and not sent, for each conversation. It survives a reload, and
// is the same in every tab.

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
