/**
 * Applies the limits of the queue after a commit (QUEUE_MIN_FREE_DISK_BYTES, QUEUE_MAX_BYTES, QUEUE_WHEN_FULL), and checks when it may
 * accept again.
 */
import type { QueueFile } from './queue-file.ts';
import type { EvictedSpan, QueueWorkerData } from './queue-messages.ts';
import type { QueueModes } from './queue-mode.ts';

/** A full queue accepts again at this share of QUEUE_MAX_BYTES. */
const ACCEPT_AGAIN_SHARE = 0.95;
/** While earlier rows are counted, the file may exceed QUEUE_MAX_BYTES by this share. */
const EXCESS_SHARE = 0.02;

export type Limits = Pick<QueueWorkerData, 'minFreeDiskBytes' | 'maxBytes' | 'whenFull'>;

export class QueueLimits {
  readonly #file: QueueFile;
  readonly #modes: QueueModes;
  readonly #limits: Limits;
  readonly #later: () => void;
  #soon: NodeJS.Immediate | undefined;

  /** `later` is to call `apply` again: what had to be done was more than one step. */
  constructor(file: QueueFile, modes: QueueModes, limits: Limits, later: () => void) {
    this.#file = file;
    this.#modes = modes;
    this.#limits = limits;
    this.#later = later;
  }

  /** Changes the mode if a limit is exceeded. Returns what was evicted for it. Throws errors of the disk. */
  apply(): EvictedSpan[] {
    const { minFreeDiskBytes, maxBytes, whenFull } = this.#limits;
    let evicted: EvictedSpan[] = [];
    if (minFreeDiskBytes > 0 && this.#file.freeDiskBytes() < minFreeDiskBytes)
      this.#modes.set('disk_low', { code: 'disk_low', detail: 'less disk space is free than QUEUE_MIN_FREE_DISK_BYTES' });
    if (this.#file.bytes() <= maxBytes || (whenFull === 'evict-oldest' && this.#mustCount())) return evicted;
    this.#file.checkpoint();
    if (whenFull === 'evict-oldest') evicted = this.#file.evictOverLimit();
    if (this.#file.pageBytes() > maxBytes) this.#modes.set('full', { code: 'queue_full', detail: 'QUEUE_MAX_BYTES is reached' });
    return evicted;
  }

  /**
   * Who holds how much must be known before the first eviction. The check at a start counts it, but not if the file was replaced then.
   * Counting 1.5 million rows takes seconds, so it is done in steps: meanwhile rows are committed and taken.
   */
  #mustCount(): boolean {
    if (this.#file.pageBytes() > this.#limits.maxBytes * (1 + EXCESS_SHARE) || this.#file.readAhead.countMore()) return false;
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#later();
    });
    return true;
  }

  stop(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
  }

  /** True if a queue that rejects writes may accept again. Throws errors of the disk. */
  mayAcceptAgain(): boolean {
    if (this.#modes.current === 'write_failed') return false;
    if (this.#modes.current !== 'full') return this.#file.hasSpace();
    this.#file.checkpoint();
    return this.#file.pageBytes() <= this.#limits.maxBytes * ACCEPT_AGAIN_SHARE;
  }
}
