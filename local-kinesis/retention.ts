/**
 * How old records are, by a clock of the stream's own. A box without a battery-backed clock may start years off, and its readings may be
 * nowhere else: a wall clock that jumps ahead must delete nothing. The stream's clock advances by the smaller of what the wall clock and
 * the time since boot have advanced, never backward, and it is stored, so a jump while the stream is stopped deletes nothing, either.
 * Time during which the box is switched off counts as far as it has been up since.
 */
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Database } from '../service/storage/sqlite.ts';

/** One instant by both clocks. */
export interface Moment {
  /** ms since the epoch. */
  wallMs: number;
  /** ms since the machine was booted. */
  upMs: number;
  /** Identity of this boot; empty if the system names none. */
  boot: string;
}

export const RETENTION_SCHEMA = `
  CREATE TABLE IF NOT EXISTS stream_clock (one INTEGER PRIMARY KEY CHECK (one = 1), clock_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
    up_ms INTEGER NOT NULL, boot TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS ages (clock_ms INTEGER PRIMARY KEY, next_id INTEGER NOT NULL);
`;

/** Records are at most this much older than their retention before they are deleted. */
const AGE_EVERY_MS = 10 * 60_000;

let bootId: string | undefined;
function currentBoot(): string {
  try {
    return (bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  } catch {
    return (bootId ??= '');
  }
}

export const momentNow = (): Moment => ({ wallMs: Date.now(), upMs: uptime() * 1000, boot: currentBoot() });

/** The time that has certainly passed between two moments, in ms. */
export function certainlyPassedMs(from: Moment, to: Moment): number {
  const knownBoot = from.boot !== '' && to.boot !== '';
  // After a reboot at least the time since it has passed.
  const sinceBootMs = from.boot === to.boot ? to.upMs - from.upMs : to.upMs;
  return knownBoot ? Math.max(0, Math.min(to.wallMs - from.wallMs, sinceBootMs)) : 0;
}

interface StoredClock {
  clock_ms: number;
  wall_ms: number;
  up_ms: number;
  boot: string;
}

export class Retention {
  readonly #database: Database;
  #clockMs = 0;
  #moment: Moment | undefined;
  #lastAgeMs: number | undefined;

  /** Reads the stored clock. The tables of RETENTION_SCHEMA must exist. */
  constructor(database: Database) {
    this.#database = database;
    const stored = database.prepare('SELECT * FROM stream_clock').get() as StoredClock | undefined;
    if (stored === undefined) return;
    this.#clockMs = stored.clock_ms;
    this.#moment = { wallMs: stored.wall_ms, upMs: stored.up_ms, boot: stored.boot };
    this.#lastAgeMs =
      (database.prepare('SELECT max(clock_ms) AS last FROM ages').get() as { last: number | null }).last ?? undefined;
  }

  /** Advances the clock. Every 10 minutes it is stored, with the id that the next record will get. */
  advance(now: Moment, nextId: number): void {
    if (this.#moment !== undefined) this.#clockMs += Math.floor(certainlyPassedMs(this.#moment, now));
    this.#moment = now;
    if (this.#lastAgeMs !== undefined && this.#clockMs - this.#lastAgeMs < AGE_EVERY_MS) return;
    this.#database.transaction(() => {
      this.#database
        .prepare('INSERT OR REPLACE INTO stream_clock VALUES (1, ?, ?, ?, ?)')
        .run(this.#clockMs, Math.floor(now.wallMs), Math.floor(now.upMs), now.boot);
      this.#database.prepare('INSERT OR IGNORE INTO ages VALUES (?, ?)').run(this.#clockMs, nextId);
    })();
    this.#lastAgeMs = this.#clockMs;
  }

  /** Records with a lower id are at least this old. */
  firstIdYoungerThan(ageMs: number): number {
    const row = this.#database.prepare('SELECT max(next_id) AS id FROM ages WHERE clock_ms <= ?').get(this.#clockMs - ageMs) as {
      id: number | null;
    };
    return row.id ?? 0;
  }

  /** Removes ages that no retention needs any more: all before the newest one that is at least this old. */
  forget(ageMs: number): void {
    this.#database
      .prepare('DELETE FROM ages WHERE clock_ms < (SELECT max(clock_ms) FROM ages WHERE clock_ms <= ?)')
      .run(this.#clockMs - ageMs);
  }
}
