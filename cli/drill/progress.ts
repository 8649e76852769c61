/** The drill's progress: one line that is rewritten on a terminal, a line for each step elsewhere. */
export const STEPS = [
  'start',
  'run',
  'cut the stream',
  'kill the forwarder',
  'start the forwarder again',
  'give the stream back',
  'stop the straps',
  'let the queue drain',
  'read everything back',
] as const;

export type Step = (typeof STEPS)[number];

export class Progress {
  readonly #startedAt = performance.now();
  readonly #output: NodeJS.WriteStream;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  /** Seconds since the drill began, rounded. */
  get seconds(): number {
    return Math.round((performance.now() - this.#startedAt) / 1000);
  }

  show(step: Step): void {
    const done = STEPS.indexOf(step) + 1;
    const bar = `[${'#'.repeat(done)}${'.'.repeat(STEPS.length - done)}]`;
    const line = `${bar} ${`${this.seconds} s`.padStart(4)}  ${step}`;
    if (this.#output.isTTY) this.#output.write(`\r${line.padEnd(60)}`);
    else this.#output.write(`${line}\n`);
  }
}
