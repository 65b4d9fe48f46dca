// What the parts of a client share: settings, counters, timers, and who is told of what.

export class Core {
  closed = false;
  me = null; // {id, name, device}: who is, or was last, logged in
  stats = { sent: 0, repeated: 0, acked: 0, refused: 0, outboxFull: 0, received: 0, duplicates: 0, syncs: 0, receipts: 0, unreadable: 0, reconnects: 0 };
  #listeners = {};
  #queue = [];
  #telling = false;
  #last = null; // once closed, the only item that is told
  #rid = 0;

  constructor(config) {
    this.config = config;
  }

  log(level, text, detail) {
    try {
      this.config.log(level, text, detail);
    } catch {
      // There is nobody left to tell.
    }
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
    this.flush();
  }

  after(ms, run) {
    return this.config.clock.setTimeout(() => this.enter(run), ms);
  }

  /** Returns null, which is what a timer that doesn't run is. */
  cancel(timer) {
    if (timer !== null) this.config.clock.clearTimeout(timer);
    return null;
  }

  /** ms, and up to more: not all come back at the same moment. */
  spread(ms, more) {
    return ms + this.config.random() * more;
  }

  on(name, listener) {
    (this.#listeners[name] ??= new Set()).add(listener);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    this.#listeners[name]?.delete(listener);
  }

  /** Has an event told by flush, when whoever puts it has done its work: a
   * listener may call whatever it likes. then is called after the listeners. */
  put(name, what, then) {
    if (!this.#last) this.#queue.push({ name, what, then });
  }

  /** Puts the last event; what waits is dropped. */
  putLast(name, what) {
    this.#queue = [(this.#last = { name, what })];
  }

  flush() {
    if (this.#telling) return; // whoever is telling goes on with it
    this.#telling = true;
    while (this.#queue.length > 0) {
      const items = this.#queue;
      this.#queue = [];
      for (const item of items) this.#tell(item);
    }
    this.#telling = false;
  }

  #tell(item) {
    const over = () => this.#last && this.#last !== item;
    for (const listener of [...(this.#listeners[item.name] ?? [])]) {
      if (over()) return;
      try {
        listener(item.what);
      } catch (error) {
        this.log("error", `a listener of "${item.name}" has thrown`, error);
      }
    }
    if (!over()) item.then?.();
  }
}
