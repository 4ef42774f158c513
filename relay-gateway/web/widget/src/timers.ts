// Timers by name: one of each, and all stopped with the widget.
export class Timers {
  readonly #running = new Map<string, number>();

  has(name: string): boolean {
    return this.#running.has(name);
  }

  /** Runs `run` later, in place of what this name's timer would have run. */
  after(name: string, ms: number, run: () => void): void {
    this.stop(name);
    const timer = window.setTimeout(() => {
      this.#running.delete(name);
      run();
    }, ms);
    this.#running.set(name, timer);
  }

  stop(name: string): void {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  stopAll(except = ""): void {
    for (const name of [...this.#running.keys()]) if (name !== except) this.stop(name);
  }
}
