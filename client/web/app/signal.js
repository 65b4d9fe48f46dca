// A signal tells who listens that something has changed.

export class Signal {
  #listeners = new Set();

  /** Adds a listener; the function returned takes it away again. */
  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(...what) {
    for (const listener of [...this.#listeners]) listener(...what);
  }
}
