/** A timer that is set at most once at a time. */
export class SingleTimer {
  readonly #delayMs: number;
  readonly #act: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(delayMs: number, act: () => void) {
    this.#delayMs = delayMs;
    this.#act = act;
  }

  /** Acts after the delay. Without effect if it is set already. */
  set(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#act();
    }, this.#delayMs);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
