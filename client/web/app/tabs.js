// The tabs of one browser are one device: one of them is live, the others rest.
// It is the one that was looked at last, so nobody has to think of it: a tab
// that comes to the front takes over. Only that makes tabs change, so they
// can't take the chat from each other in turns.

const patience = 300; // ms in which a live tab says that it is there

export class Tabs {
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel('chatd') : null;
  #live = false;
  #answered = () => {};

  /** rest is called when another tab has taken over. */
  constructor(rest) {
    this.#channel?.addEventListener('message', ({ data }) => {
      if (data === 'taken' && this.#live) {
        this.#live = false;
        rest();
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
    this.#channel?.postMessage('taken');
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
