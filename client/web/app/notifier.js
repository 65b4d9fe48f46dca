// Notifications of the desktop, for who has asked for them.

import { text } from './language.js';
import { load, save } from './storage.js';
import { toast } from './toasts.js';

const longest = 200; // characters that are shown

export class Notifier {
  #name;
  #open;
  #shown = new Map(); // conversation to its notification

  /** open is called with the conversation whose notification was clicked. */
  constructor(user, open) {
    this.#name = `notify.${user}`;
    this.#open = open;
  }

  get on() {
    return Boolean(load(this.#name)) && globalThis.Notification?.permission === 'granted';
  }

  /** Turns them on, which may ask the user, or off. */
  async toggle() {
    if (this.on) return save(this.#name, null);
    if (!globalThis.Notification || !isSecureContext) return toast(text.notifyMissing);
    if ((await Notification.requestPermission()) !== 'granted') return toast(text.notifyDenied);
    save(this.#name, true);
    toast(text.notifyNow);
  }

  show(key, title, words) {
    if (!this.on) return;
    try {
      const note = new Notification(title, { body: words.slice(0, longest), tag: `chatd ${key}`, icon: '/icon.svg' });
      note.onclick = () => {
        window.focus();
        this.#open(key);
        note.close();
      };
      this.#shown.set(key, note);
      note.onclose = () => this.#shown.delete(key);
    } catch {
      // Some systems let a service worker alone notify.
    }
  }

  /** What it said has been seen. */
  clear(key) {
    this.#shown.get(key)?.close();
  }
}
