/** One attempt after another to open the queue's file, until it is open or can never be. */
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { isPassing } from '../../service/storage/passing-errors.ts';
import { diskTroubleOf, isUnreadable } from './disk-trouble.ts';
import type { QueueFile } from './queue-file.ts';
import { OPENING, type QueueWorkerData } from './queue-messages.ts';
import type { QueueReason } from './queue-mode.ts';
import { NewerSchemaError } from './schema.ts';

/** A disk that does not return a page for this long is assumed never to: what can be read is salvaged. */
const UNREADABLE_MS = 60_000;

export type OpenOutcome =
  | { kind: 'open' }
  /** To be tried again. */
  | { kind: 'waiting'; reason: QueueReason }
  /** A stop came first: the file stays closed. */
  | { kind: 'stopped' }
  | { kind: 'failed'; code: string; message: string };

export class QueueOpener {
  readonly #file: QueueFile;
  readonly #options: Pick<QueueWorkerData, 'file' | 'opening'>;
  #unreadableSinceMs: number | undefined;

  constructor(file: QueueFile, options: Pick<QueueWorkerData, 'file' | 'opening'>) {
    this.#file = file;
    this.#options = options;
  }

  tryOpen(): OpenOutcome {
    const opening = new Int32Array(this.#options.opening);
    const mayOpen = (): boolean => Atomics.compareExchange(opening, 0, OPENING.idle, OPENING.opening) !== OPENING.given_up;
    try {
      return { kind: this.#file.open({ mayOpen, isUnreadableDamaged: this.#isUnreadableForLong() }) ? 'open' : 'stopped' };
    } catch (error) {
      Atomics.compareExchange(opening, 0, OPENING.opening, OPENING.idle);
      this.#unreadableSinceMs = isUnreadable(error) ? (this.#unreadableSinceMs ?? performance.now()) : undefined;
      const reason = diskTroubleOf(error, this.#options.file);
      if (reason.code === 'disk_full' || isPassing(error)) return { kind: 'waiting', reason };
      const code = error instanceof NewerSchemaError ? 'queue_too_new' : (systemCodeOf(error) ?? '');
      return { kind: 'failed', code, message: messageOf(error) };
    }
  }

  #isUnreadableForLong(): boolean {
    return this.#unreadableSinceMs !== undefined && performance.now() - this.#unreadableSinceMs >= UNREADABLE_MS;
  }
}
