import { runOfTopic } from '../../contract/topics.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';

/** Runs that are remembered. */
const RUNS_MAX = 100;

/** Bridges of version 1, which offer their readings in a way that this forwarder does not serve. */
export class Version1Bridges {
  readonly #repeats: RepeatLimiter;
  readonly #runs = new Set<string>();

  constructor(log: Logger) {
    this.#repeats = new RepeatLimiter(log);
  }

  /** One has published on this topic. */
  seen(topic: string): void {
    const run = runOfTopic(topic);
    this.#repeats.warn(
      'version 1',
      { event: 'bridge_of_version_1', run },
      'a bridge of version 1 offers its readings; it keeps them until it is updated',
    );
    if (run !== undefined && this.#runs.size < RUNS_MAX) this.#runs.add(run);
  }

  has(run: string): boolean {
    return this.#runs.has(run);
  }
}
