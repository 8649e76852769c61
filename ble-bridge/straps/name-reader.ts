/**
 * Asks a strap that does not advertise its name, or only the beginning of it, for the name that it has itself: after the connect, and
 * before it is subscribed, because BLE_DENY may exclude it by that name.
 */
import { RadioError } from '../radio/radio-error.ts';
import type { RadioConnection } from '../radio/radio.ts';
import type { LinkLimits } from './link-limits.ts';
import type { LinkObserver } from './link-observer.ts';
import { runStep, StepTimeout } from './link-step.ts';

/** Once answered, it is not asked again. One that ends the link instead is not asked for ever. */
const TRIES = 2;

export interface NameReaderOptions {
  limits: Pick<LinkLimits, 'requestMs'>;
  /** Whether what the strap advertises holds no name, or only the beginning of one. */
  lacksName?: () => boolean;
  observer: Pick<LinkObserver, 'named'>;
}

export class NameReader {
  readonly #o: NameReaderOptions;
  #triesLeft = TRIES;

  constructor(options: NameReaderOptions) {
    this.#o = options;
  }

  /**
   * Resolves once it is certain which strap it is; `signal` may be aborted then: that name is excluded, or the link has ended. Rejects
   * with StepTimeout, after which a link is of no use, or RadioError `link_ended`. A refusal is no error.
   */
  async learn(connection: RadioConnection, signal: AbortSignal): Promise<void> {
    const { limits, lacksName, observer } = this.#o;
    if (this.#triesLeft === 0 || lacksName?.() !== true) return;
    this.#triesLeft -= 1;
    const step = { what: 'read of the name', limitMs: limits.requestMs, signal, answeredAt: () => connection.answeredAt };
    let name: string | undefined;
    try {
      name = await runStep(step, () => connection.readName());
    } catch (error) {
      // No further request can be made on this link. The next one does without the name.
      if (error instanceof StepTimeout) this.#triesLeft = 0;
      if (!(error instanceof RadioError) || error.code === 'link_ended') throw error;
    }
    if (name !== undefined) await observer.named?.(name);
    if (!signal.aborted) this.#triesLeft = 0;
  }
}
