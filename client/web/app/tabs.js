// The tabs of one browser are one device: one of them is live, the others rest.
// It is the one that was looked at last, so nobody has to think of it: a tab
// that comes to the front takes over. Where the live one is closed, one of
// those that rest goes on, or nobody would be told of what comes. Nothing else
// makes tabs change, so they can't take the chat from each other in turns.

const patience = 300; // ms in which a live tab says that it is there
const reloading = 1000; // ms in which a live tab that was reloaded is back

// The live tab holds this lock and those that rest wait for it, so that the
// browser says when a tab is gone, by whatever way. A page that was got
// without TLS has no locks; there a tab goes on when it is looked at.
const name = 'chatd.live';
const locks = globalThis.navigator?.locks;

export class Tabs {
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel('chatd') : null;
  #live = false;
  #waiting = null; // what ends waiting for the lock
  #inherit;
  #answered = () => {};
  #release = () => {};

  /** rest is called when another tab has taken over, inherit when the live one is gone. */
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
    }).catch(() => {}); // another one has taken it
  }

  /** Another tab is live. */
  rest() {
    this.#live = false;
    this.#release(); // where two have taken it at once both may be told to rest: then one goes on
    if (!locks || this.#waiting) return;
    const waiting = this.#waiting = new AbortController();
    locks.request(name, { signal: waiting.signal }, () => new Promise((release) => {
      this.#waiting = null;
      this.#release = release;
      setTimeout(() => waiting.signal.aborted || this.#inherit(), reloading);
    })).catch(() => waiting.abort());
  }

  /** This tab isn't live any more, and none need take over. */
  leave() {
    this.#live = false;
  }

  /** Tells whether another tab is live. */
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
