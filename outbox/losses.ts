/** Readings that an outbox lost before they were stored: counted by cause, and logged. */
import type { DropCause } from '../contract/delivery.ts';
import type { RepeatLimiter } from '../service/log/log.ts';
import { noDrops } from './dropped-seqs.ts';
import type { DroppedReadings } from './held-run-options.ts';

/** `cut_short` is how a power cut or a kill ends a file; the forwarder records these seqs as `damaged`. */
export type LossCause = DropCause | 'cut_short';

const MESSAGES: Record<DropCause, string> = {
  outbox_full: 'the outbox is full: the oldest readings were dropped',
  disk_failed: 'the disk rejects writes and memory is full: the oldest readings that are in memory alone were dropped',
  damaged: 'readings in the outbox on disk are damaged and lost; their files are kept',
};

export class Losses {
  readonly #repeats: RepeatLimiter;
  readonly #by: Record<LossCause, number> = { ...noDrops(), cut_short: 0 };
  #lastAtMs: number | undefined;

  constructor(repeats: RepeatLimiter) {
    this.#repeats = repeats;
  }

  get by(): Readonly<Record<LossCause, number>> {
    return this.#by;
  }

  get total(): number {
    return Object.values(this.#by).reduce((sum, count) => sum + count, 0);
  }

  /** How long ago the last reading was lost, beside what was cut short; infinite if none was. */
  lastAgoMs(nowMs: number): number {
    return this.#lastAtMs === undefined ? Number.POSITIVE_INFINITY : nowMs - this.#lastAtMs;
  }

  add({ cause, count, isCutShort }: DroppedReadings, nowMs: number): void {
    if (isCutShort) return this.#cutShort(count);
    this.#by[cause] += count;
    this.#lastAtMs = nowMs;
    const event = cause === 'outbox_full' ? cause : (`outbox_${cause}` as const);
    this.#repeats.error(cause, { event, readings: this.#by[cause] }, MESSAGES[cause]);
  }

  #cutShort(count: number): void {
    this.#by.cut_short += count;
    this.#repeats.warn(
      'cut_short',
      { event: 'outbox_cut_short', readings: count },
      'the last write of an earlier process was cut short: these readings were never confirmed to be on disk',
    );
  }
}
