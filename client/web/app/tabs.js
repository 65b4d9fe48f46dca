// All tabs of a browser are one device. One tab is active: it has the connection.
// The others are inactive. A tab that comes to the front becomes the active one.
// When the active tab is closed, an inactive one takes over, so that notifications
// continue. Nothing else makes tabs change roles, so they can't keep replacing each
// other.

const patience = 300; // ms to wait for an answer from an active tab
const reloading = 1000; // ms to wait for an active tab that is being reloaded

// The active tab holds this lock, and the inactive tabs wait for it. So they notice
// when the active tab is closed or crashes. Pages without TLS don't have locks
// (except on loopback). There a tab takes over only when it comes to the front.
const name = 'chatd.live';
const locks = globalThis.navigator?.locks;

export class Tabs {
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel('chatd') : null;
  #active = false;
  #waiting = null; // AbortController that ends waiting for the lock
  #takeOver;
  #answered = () => {};
  #release = () => {};

  /** deactivated() is called when another tab has become active, takeOver() when the active tab is gone. */
  constructor(deactivated, takeOver) {
    this.#takeOver = takeOver;
    this.#channel?.addEventListener('message', ({ data }) => {
      if (data === 'taken') {
        const active = this.#active;
        this.rest();
        if (active) deactivated();
      } else if (data === 'anyone?' && this.#active) {
        this.#channel.postMessage('here');
      } else if (data === 'here') {
        this.#answered();
      }
    });
  }

  /** Makes this tab the active one. */
  take() {
    this.#active = true;
    this.#waiting?.abort();
    this.#waiting = null;
    const tell = () => this.#channel?.postMessage('taken');
    if (!locks) return tell();
    locks.request(name, { steal: true }, () => {
      tell();
      return new Promise((release) => (this.#release = release));
    }).catch(() => {}); // another tab has stolen the lock
  }

  /** Makes this tab inactive, because another one is active. */
  rest() {
    this.#active = false;
    this.#release(); // if two tabs take over at once, both may become inactive; then one of them gets the lock
    if (!locks || this.#waiting) return;
    const waiting = this.#waiting = new AbortController();
    locks.request(name, { signal: waiting.signal }, () => new Promise((release) => {
      this.#waiting = null;
      this.#release = release;
      setTimeout(async () => (await this.elsewhere()) || waiting.signal.aborted || this.#takeOver(), reloading);
    })).catch(() => waiting.abort());
  }

  /** Stops being the active tab, without letting another one take over. */
  leave() {
    this.#active = false;
  }

  /** Resolves to whether another tab is active. */
  async elsewhere() {
    if (!this.#channel) return false;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patience);
      this.#answered = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#channel.postMessage('anyone?');
    });
  }
}
