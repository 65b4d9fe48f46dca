// Desktop notifications, if the user has turned them on.

import { cut } from './foreign.js';
import { text } from './language.js';
import { load, save } from './storage.js';
import { toast } from './toasts.js';

const longest = 200; // characters to show

export class Notifier {
  #name;
  #open;
  #shown = new Map(); // conversation to its notification

  /** open(key) is called when the user clicks a conversation's notification. */
  constructor(user, open) {
    this.#name = `notify.${user}`;
    this.#open = open;
  }

  get on() {
    return Boolean(load(this.#name)) && globalThis.Notification?.permission === 'granted';
  }

  /** Turns notifications on or off. The browser may ask the user for permission. */
  async toggle() {
    if (this.on) return save(this.#name, null);
    if (!isSecureContext) return toast(text.notifyInsecure);
    if (!globalThis.Notification) return toast(text.notifyMissing);
    if ((await Notification.requestPermission()) !== 'granted') return toast(text.notifyDenied);
    save(this.#name, true);
    toast(text.notifyNow);
  }

  show(key, title, words) {
    if (!this.on) return;
    try {
      const note = new Notification(title, { body: cut(words, longest), tag: `chatd ${key}`, icon: '/icon.svg' });
      note.onclick = () => {
        window.focus();
        this.#open(key);
        note.close();
      };
      this.#shown.set(key, note);
      note.onclose = () => this.#shown.delete(key);
    } catch {
      // On some systems only service workers may show notifications.
    }
  }

  /** Closes a conversation's notification, because the user has seen the message. */
  clear(key) {
    this.#shown.get(key)?.close();
  }
}
