/** Publishes what the outbox dropped as gaps, one a device; while the broker is away they grow together. */
import type { NumberedReading } from '../../contract/delivery.ts';
import { gapTopic } from '../../contract/topics.ts';

const CAUSE = 'outbox_full';
const PUBLISH_EVERY_MS = 1000;

interface Span {
  /** Timestamps of the first and last reading. */
  from: string;
  to: string;
  readings: number;
}

export class DroppedGaps {
  readonly #publish: (topic: string, payload: string) => boolean;
  /** Not published yet, by device. */
  readonly #spans = new Map<string, Span>();
  #isUp = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(publish: (topic: string, payload: string) => boolean) {
    this.#publish = publish;
  }

  dropped(readings: readonly NumberedReading[]): void {
    for (const { payload } of readings) {
      const device = /"device":"([a-z0-9-]+)"/.exec(payload)?.[1];
      const at = /"timestamp":"([^"]+)"/.exec(payload)?.[1];
      if (device === undefined || at === undefined) continue;
      const span = this.#spans.get(device);
      this.#spans.set(device, { from: span?.from ?? at, to: at, readings: (span?.readings ?? 0) + 1 });
    }
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#isUp || this.#spans.size === 0) return;
    this.#timer ??= setTimeout(() => this.#publishAll(), PUBLISH_EVERY_MS);
  }

  #publishAll(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [device, span] of this.#spans)
      if (this.#publish(gapTopic(device), JSON.stringify({ ...span, cause: CAUSE }))) this.#spans.delete(device);
    this.#schedule();
  }

  up(): void {
    this.#isUp = true;
    this.#schedule();
  }

  down(): void {
    this.#isUp = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Publishes what is left, if the broker is connected. */
  stop(): void {
    if (this.#isUp) this.#publishAll();
    this.down();
  }
}
