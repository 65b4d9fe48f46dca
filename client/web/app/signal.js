// A signal calls its listeners when something has changed.

export class Signal {
  #listeners = new Set();

  /** Adds a listener. Returns a function that removes it. */
  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(...what) {
    for (const listener of [...this.#listeners]) listener(...what);
  }
}
