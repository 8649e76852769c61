/**
 * The modes of the queue. Exactly one is current; only `QueueModes.set` changes it, and it throws for a transition that the table below
 * does not list.
 *
 * - `checking`: initial. The file is being opened and checked. Nothing is accepted and nothing can be taken. Leads to `open`, or to
 *   `waiting_to_open` if the file cannot be opened now: its disk is full or reports errors, or another process holds a lock.
 * - `waiting_to_open`: the file is not open yet. Opening it is retried every second, until it succeeds (`open`).
 * - `open`: readings are accepted, and taken by the drain.
 * - `full`: QUEUE_MAX_BYTES is reached and QUEUE_WHEN_FULL is `refuse`. Nothing is accepted; rows are still taken and deleted, which
 *   leads back to `open` at 95 % of the limit.
 * - `disk_low`: less than QUEUE_MIN_FREE_DISK_BYTES is free. Nothing is accepted; rows are still taken and deleted. Back to `open` once
 *   there is space.
 * - `write_failed`: a write failed (`disk_full` or `disk_error`), and rows that were shipped cannot be deleted either. Nothing is
 *   accepted, and taking stops after a while, because rows that stay in the file would be shipped again after a restart. Once a commit
 *   succeeds: `recovering`.
 * - `recovering`: after `write_failed`, commits succeed again. Nothing is accepted until the disk has space; then `open`.
 * - `replacing`: the open file was found damaged. It is closed, checked, and replaced if the check finds damage, too. While its disk
 *   reports errors, that is retried every second. Leads to `open`.
 * - `closed`: final.
 *
 * Limits are checked after each commit, so `full` and `disk_low` can follow any mode in which commits succeed.
 */
export type QueueMode =
  'checking' | 'waiting_to_open' | 'open' | 'full' | 'disk_low' | 'write_failed' | 'recovering' | 'replacing' | 'closed';

export type QueueReasonCode =
  'queue_checking' | 'queue_full' | 'queue_damaged' | 'queue_busy' | 'log_pinned' | 'disk_full' | 'disk_error' | 'disk_low';

/** Why the queue is not `open`, or what happened to its file. The code is stable (docs/errors.md), the detail is for people. */
export interface QueueReason {
  code: QueueReasonCode;
  detail: string;
}

/** Why nothing is accepted in the mode `replacing`, unless the disk reports errors. */
export const REPLACING: QueueReason = {
  code: 'queue_checking',
  detail: 'damage was found in the open file: it is checked again, and replaced by what can be read',
};

/** A reason as one line of health shows it. */
export const reasonText = ({ code, detail }: QueueReason): string => `${code}: ${detail}`;

const TRANSITIONS: Readonly<Record<QueueMode, readonly QueueMode[]>> = {
  checking: ['waiting_to_open', 'open', 'closed'],
  waiting_to_open: ['open', 'closed'],
  open: ['full', 'disk_low', 'write_failed', 'replacing', 'closed'],
  full: ['open', 'disk_low', 'write_failed', 'replacing', 'closed'],
  disk_low: ['open', 'full', 'write_failed', 'replacing', 'closed'],
  write_failed: ['recovering', 'replacing', 'closed'],
  recovering: ['open', 'full', 'disk_low', 'write_failed', 'replacing', 'closed'],
  replacing: ['open', 'closed'],
  closed: [],
};

/** Modes in which the file is open: what its state counts is real. */
export const isFileOpen = (mode: QueueMode): boolean =>
  mode !== 'checking' && mode !== 'waiting_to_open' && mode !== 'replacing' && mode !== 'closed';

export class QueueModes {
  #mode: QueueMode = 'checking';
  #reason: QueueReason | null = null;

  get current(): QueueMode {
    return this.#mode;
  }

  /** Null while `open`. */
  get reason(): QueueReason | null {
    return this.#reason;
  }

  /** A reading may be committed. */
  get accepts(): boolean {
    return this.#mode === 'open';
  }

  /** A commit succeeded. */
  writeSucceeded(): void {
    if (this.#mode === 'write_failed') this.set('recovering', this.#reason);
  }

  /** Changes the mode, or only the reason if the mode stays. Throws for a transition that is not listed above. */
  set(mode: QueueMode, reason: QueueReason | null): void {
    if (mode !== this.#mode && !TRANSITIONS[this.#mode].includes(mode))
      throw new Error(`illegal transition ${this.#mode} -> ${mode}`);
    this.#mode = mode;
    this.#reason = reason;
  }
}
