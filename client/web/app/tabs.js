// All tabs of a browser are one device. One tab is live, which means connected;
// the others rest. A tab that comes to the front becomes the live one. When the
// live tab is closed, a resting one takes over, so that notifications continue.
// Nothing else makes tabs change roles, so they can't keep replacing each other.

const patience = 300; // ms to wait for an answer of a live tab
const reloading = 1000; // ms to wait for a live tab that is being reloaded

// The live tab holds this lock, and the resting tabs wait for it. So they notice
// when the live tab is closed or crashes. Pages without TLS don't have locks
// (except on loopback). There a tab takes over only when it comes to the front.
const name = 'chatd.live';
const locks = globalThis.navigator?.locks;

export class Tabs {
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel('chatd') : null;
  #live = false;
  #waiting = null; // AbortController that ends waiting for the lock
  #inherit;
  #answered = () => {};
  #release = () => {};

  /** rest() is called when another tab has become the live one, inherit() when the live tab is gone. */
  constructor(rest, inherit) {
    this.#inherit = inherit;
    this.#channel?.addEventListener('message', ({ data }) => {
      if (data === 'taken') {
        const live = this.#live;
        this.rest();
        if (live) rest();
      } else if (data === 'anyone?' && this.#live) {
        this.#channel.postMessage('here');
      } else if (data === 'here') {
        this.#answered();
      }
    });
  }

  /** Makes this tab the live one. */
  take() {
    this.#live = true;
    this.#waiting?.abort();
    this.#waiting = null;
    const tell = () => this.#channel?.postMessage('taken');
    if (!locks) return tell();
    locks.request(name, { steal: true }, () => {
      tell();
      return new Promise((release) => (this.#release = release));
    }).catch(() => {}); // another tab has stolen the lock
  }

  /** Makes this tab rest, because another one is live. */
  rest() {
    this.#live = false;
    this.#release(); // if two tabs take over at once, both may have to rest; then one of them inherits
    if (!locks || this.#waiting) return;
    const waiting = this.#waiting = new AbortController();
    locks.request(name, { signal: waiting.signal }, () => new Promise((release) => {
      this.#waiting = null;
      this.#release = release;
      setTimeout(() => waiting.signal.aborted || this.#inherit(), reloading);
    })).catch(() => waiting.abort());
  }

  /** Stops being the live tab, without letting another one take over. */
  leave() {
    this.#live = false;
  }

  /** Resolves to whether another tab is live. */
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
