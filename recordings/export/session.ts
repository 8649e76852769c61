/** Readings of one strap as sessions: what lies between pauses of half an hour. */
import type { IncomingReading } from '../../contract/reading.ts';

export interface ExportedReading {
  /** ms since 1970. */
  atMs: number;
  bpm: number;
  rrMs: readonly number[];
}

export interface Session {
  device: string;
  /** In order of time; at least one. */
  readings: readonly ExportedReading[];
}

/** A longer time without readings ends a session. */
export const SESSION_PAUSE_MS = 30 * 60_000;

interface Numbered extends ExportedReading {
  run: string;
  seq: number;
}

/** Collects the readings of a strap from a stream, in any order and with duplicates, as at-least-once delivery has them. */
export class StrapReadings {
  readonly device: string;
  duplicates = 0;
  readonly #readings: Numbered[] = [];
  readonly #seen = new Set<string>();

  constructor(device: string) {
    this.device = device;
  }

  /** Takes a reading if it is one of this strap. */
  add({ device, timestamp, heart_rate: bpm, rr_intervals_ms: rrMs, gateway, run, seq }: IncomingReading): void {
    if (device !== this.device) return;
    if (run !== undefined && seq !== undefined) {
      const identity = `${gateway ?? ''}/${run}/${seq}`;
      if (this.#seen.has(identity)) {
        this.duplicates += 1;
        return;
      }
      this.#seen.add(identity);
    }
    this.#readings.push({ atMs: Date.parse(timestamp), bpm, rrMs: rrMs ?? [], run: run ?? '', seq: seq ?? 0 });
  }

  /** In order of time. `sinceMs`: readings before it do not count. */
  sessions(sinceMs = -Infinity): Session[] {
    const ordered = this.#readings
      .filter(({ atMs }) => atMs >= sinceMs)
      .sort((a, b) => a.atMs - b.atMs || (a.run === b.run ? a.seq - b.seq : 0));
    const sessions: ExportedReading[][] = [];
    let lastMs = -Infinity;
    for (const { atMs, bpm, rrMs } of ordered) {
      if (atMs - lastMs > SESSION_PAUSE_MS) sessions.push([]);
      sessions.at(-1)?.push({ atMs, bpm, rrMs });
      lastMs = atMs;
    }
    return sessions.map((readings) => ({ device: this.device, readings }));
  }
}
