/** What the disk of an outbox does wrong: logged, counted by operation and code, and put into words for the health check. */
import type { Metric } from '../contract/metrics.ts';
import { systemCodeOf } from '../service/errors/errors.ts';
import type { RepeatLimiter } from '../service/log/log.ts';
import { Counter } from '../service/metrics/metrics.ts';
import type { DiskOperation, DiskTrouble } from './disk-retry.ts';

const MESSAGES: Record<DiskOperation, string> = {
  write: 'writing the outbox to disk failed; what is on it is kept, and new readings are held in memory',
  read: 'reading the outbox on disk failed; it is kept and read again',
  remove: 'removing files of the outbox failed; they stay until it succeeds',
};
const EVENTS: Record<DiskOperation, string> = { write: 'spill_failed', read: 'spill_unreadable', remove: 'spill_not_removed' };

export interface OutboxTrouble {
  operation: DiskOperation;
  code: string;
  /** How long it has lasted. */
  forMs: number;
  /** Readings on disk, all of them kept. */
  onDisk: number;
  /** Readings in memory alone. */
  inMemory: number;
}

/** What is reported about a run. */
export interface RunOnDisk {
  readonly troubles: readonly DiskTrouble[];
  readonly files: { readonly count: number } | undefined;
  readonly unwritten: number;
}

export class DiskErrors {
  readonly #repeats: RepeatLimiter;
  readonly #runs: () => readonly RunOnDisk[];
  readonly #errors = new Counter('hr_gateway_outbox_disk_errors_total', 'File operations of the outbox that failed, by code');
  readonly #setAside = new Counter('hr_gateway_outbox_set_aside_total', 'Damaged files of the outbox that were set aside');

  constructor(repeats: RepeatLimiter, runs: () => readonly RunOnDisk[]) {
    this.#repeats = repeats;
    this.#runs = runs;
  }

  /** An operation failed; it is tried again. */
  failed(operation: DiskOperation, error: unknown): void {
    const code = systemCodeOf(error) ?? 'unknown';
    this.#errors.add(1, { operation, code });
    const { onDisk, inMemory } = this.#held;
    const fields = { event: EVENTS[operation], code, on_disk: onDisk, in_memory: inMemory, err: error };
    this.#repeats.warn(`${operation} ${code}`, fields, MESSAGES[operation]);
  }

  /** A damaged file was renamed and is kept. */
  setAside(file: string, bytes: number): void {
    this.#setAside.add();
    this.#repeats.warn(
      file,
      { event: 'spill_set_aside', file, bytes },
      'a file of the outbox is damaged; what can be read of it is delivered, and it is kept under another name',
    );
  }

  get #held(): { onDisk: number; inMemory: number } {
    const runs = this.#runs();
    return {
      onDisk: runs.reduce((sum, { files }) => sum + (files?.count ?? 0), 0),
      inMemory: runs.reduce((sum, { unwritten }) => sum + unwritten, 0),
    };
  }

  /** What fails at present: a write before a read before a removal. `other`: what fails beside the runs. */
  trouble(nowMs: number, other: DiskTrouble | undefined): OutboxTrouble | undefined {
    const current = [...this.#runs().flatMap(({ troubles }) => troubles), ...(other === undefined ? [] : [other])];
    for (const operation of ['write', 'read', 'remove'] as const) {
      const trouble = current.find((each) => each.operation === operation);
      if (trouble !== undefined) return { operation, code: trouble.code, forMs: nowMs - trouble.sinceMs, ...this.#held };
    }
    return undefined;
  }

  metrics(): Metric[] {
    return [this.#errors.read(), this.#setAside.read()];
  }
}
