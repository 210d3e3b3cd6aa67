/** Actions in the order they were asked for, each after the one before it has ended, well or badly. */
export class Chain {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(action: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(action);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
