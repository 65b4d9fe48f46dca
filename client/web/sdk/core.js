// What the parts of a client share.

import { Events } from "./events.js";

export class Core {
  closed = false;
  stats = { sent: 0, repeated: 0, acked: 0, refused: 0, outboxFull: 0, received: 0, duplicates: 0, syncs: 0, receipts: 0,
    unreadable: 0, reconnects: 0 };
  me = null; // {id, name, device}: who is, or was last, logged in
  #rid = 0;

  constructor(config) {
    this.config = config;
    this.log = (level, text, detail) => {
      try {
        config.log(level, text, detail);
      } catch {
        // There is nobody left to tell.
      }
    };
    this.events = new Events(this.log);
  }

  rid() {
    return ++this.#rid;
  }

  now() {
    return this.config.clock.now();
  }

  /** Whatever the browser calls goes through here: nothing is thrown into it,
   * and what has happened is told. */
  enter(run) {
    try {
      run();
    } catch (error) {
      this.log("error", "the SDK has thrown: a fault of its own", error);
    }
    this.events.flush();
  }

  after(ms, run) {
    return this.config.clock.setTimeout(() => this.enter(run), ms);
  }

  cancel(timer) {
    if (timer !== null) this.config.clock.clearTimeout(timer);
    return null;
  }

  /** d, and up to share of it more: not all come back at the same moment. */
  spread(d, share) {
    return d + this.config.random() * share;
  }
}
