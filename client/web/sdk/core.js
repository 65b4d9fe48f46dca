// What the parts of a client share: settings, counters, timers, and event delivery.

export class Core {
  closed = false;
  me = null; // {id, name, device} of the current or last login
  stats = { sent: 0, repeated: 0, acked: 0, refused: 0, outboxFull: 0, received: 0, duplicates: 0, syncs: 0, receipts: 0, unreadable: 0, reconnects: 0 };
  #listeners = {};
  #queue = []; // events to deliver
  #delivering = false;
  #last = null; // the event of closing: the only one delivered from then on
  #rid = 0;

  constructor(config) {
    this.config = config;
  }

  log(level, text, detail) {
    try {
      this.config.log(level, text, detail);
    } catch {
      // There is nowhere left to report it.
    }
  }

  rid() {
    return ++this.#rid;
  }

  now() {
    return this.config.clock.now();
  }

  /** Runs a callback from the browser (socket, timer, event), then delivers
   * events. Exceptions are logged, not thrown into the browser. */
  enter(run) {
    try {
      run();
    } catch (error) {
      this.log("error", "internal error in the SDK", error);
    }
    this.flush();
  }

  after(ms, run) {
    return this.config.clock.setTimeout(() => this.enter(run), ms);
  }

  /** Stops a timer, which may be null. Returns null, to assign to its variable. */
  cancel(timer) {
    if (timer !== null) this.config.clock.clearTimeout(timer);
    return null;
  }

  /** Returns ms plus a random part of more, so that clients don't all act at once. */
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

  /** Queues an event. flush delivers it later, when the caller has finished its
   * work, so that listeners may call any method. then is called after the
   * listeners. */
  put(name, what, then) {
    if (!this.#last) this.#queue.push({ name, what, then });
  }

  /** Queues the last event and drops all others. */
  putLast(name, what) {
    this.#queue = [(this.#last = { name, what })];
  }

  flush() {
    if (this.#delivering) return; // a listener called us: the loop below continues after it returns
    this.#delivering = true;
    while (this.#queue.length > 0) {
      const items = this.#queue;
      this.#queue = [];
      for (const item of items) this.#deliver(item);
    }
    this.#delivering = false;
  }

  #deliver(item) {
    const over = () => this.#last && this.#last !== item;
    for (const listener of [...(this.#listeners[item.name] ?? [])]) {
      if (over()) return;
      try {
        listener(item.what);
      } catch (error) {
        this.log("error", `a listener of "${item.name}" threw an exception`, error);
      }
    }
    if (!over()) item.then?.();
  }
}
