// Who wants to be told of what, and the order in which it is told.

/** Events are put as they happen and told by flush, when whoever puts them
 * has done its work: a listener may call whatever it likes. */
export class Events {
  #listeners = new Map();
  #queue = [];
  #telling = false;
  #last = null; // after close: the only item that is told
  #log;

  constructor(log) {
    this.#log = log;
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /** told: called after the listeners. */
  put(name, what, told) {
    if (!this.#last) this.#queue.push({ name, what, told });
  }

  /** Puts the last event; what waits is dropped. */
  close(name, what) {
    this.#queue = [(this.#last = { name, what })];
  }

  flush() {
    if (this.#telling) return; // whoever is telling goes on with it
    this.#telling = true;
    while (this.#queue.length > 0) {
      const items = this.#queue;
      this.#queue = [];
      for (const item of items) {
        if (this.#last && item !== this.#last) continue;
        for (const listener of [...(this.#listeners.get(item.name) ?? [])]) {
          try {
            listener(item.what);
          } catch (error) {
            this.#log("error", `a listener of "${item.name}" has thrown`, error);
          }
          if (this.#last && item !== this.#last) break;
        }
        if (!this.#last) item.told?.();
      }
    }
    this.#telling = false;
  }
}
