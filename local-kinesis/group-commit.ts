/** Requests that wait at the same time share one transaction and one fsync. Each is answered after the commit. */
import type { Store } from './store.ts';

interface Waiting {
  work: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

export class GroupCommit {
  readonly #store: Store;
  #waiting: Waiting[] = [];
  #scheduled = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Runs `work` in the next shared transaction, and resolves after its commit. `work` must not throw: it would fail the whole group. */
  async run<T>(work: () => T): Promise<T> {
    return (await new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => this.#commit());
    })) as T;
  }

  #commit(): void {
    const group = this.#waiting;
    this.#waiting = [];
    this.#scheduled = false;
    try {
      const results = this.#store.transaction(() => group.map(({ work }) => work()));
      for (const [index, { resolve }] of group.entries()) resolve(results[index]);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
