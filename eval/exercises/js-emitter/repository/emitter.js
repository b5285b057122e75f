/** Calls listeners by the name of an event, in the order in which they were added. */
export class Emitter {
  #listeners = new Map();

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, []);
    this.#listeners.get(name).push(listener);
    return this;
  }

  /** Calls the listener at the next event only. */
  once(name, listener) {
    const wrapper = (...values) => {
      this.off(name, wrapper);
      listener(...values);
    };
    return this.on(name, wrapper);
  }

  off(name, listener) {
    const listeners = this.#listeners.get(name) ?? [];
    const at = listeners.indexOf(listener);
    if (at >= 0) listeners.splice(at, 1);
    return this;
  }

  /** Returns how many listeners were called. */
  emit(name, ...values) {
    let called = 0;
    for (const listener of this.#listeners.get(name) ?? []) {
      listener(...values);
      called += 1;
    }
    return called;
  }
}
