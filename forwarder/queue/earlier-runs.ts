/**
 * Runs that began before they were audited: in a file of an older version, or in a damaged one whose accounts are lost. Up to now only
 * numbers are kept of them: what is queued, dead and missed is counted, and the rest is unknown (shipped or evicted).
 */
import type { Database } from '../../service/storage/sqlite.ts';
import type { RunIdentity } from './queue-messages.ts';
import { fromStored, insertRuns, newRun, type Run, type StoredRun } from './run-table.ts';
import { spanCode, UNKNOWN } from './span-codes.ts';
import { identityIn } from './stored-rows.ts';
import { watermarkKey } from './watermark-key.ts';
import { watermarksOf } from './watermarks.ts';

interface Earlier {
  identity: RunIdentity;
  /** The number under which rows name it, if they do. */
  id: number | null;
  upTo: number;
  isOwn: boolean;
  queued: number;
  counted: Record<string, number>;
}

class EarlierRuns {
  readonly #runs = new Map<string, Earlier>();
  readonly #ofRun = new Map<string, Earlier[]>();
  /** Runs that have an account. */
  readonly #audited: Run[];

  constructor(audited: Run[]) {
    this.#audited = audited;
  }

  /** Undefined: it has an account. A reading of an older version may name no gateway, or the box by an older name. */
  of(gateway: string | undefined, run: string, isOwn = true): Earlier | undefined {
    if (this.#audited.some((known) => known.run === run && (gateway === undefined || known.gateway === gateway)))
      return undefined;
    const identity = { gateway: gateway ?? '', run };
    const [only, second] = this.#ofRun.get(run) ?? [];
    const known = this.#runs.get(watermarkKey(identity)) ?? (second === undefined ? only : undefined);
    if (known !== undefined) return known;
    const earlier: Earlier = { identity, id: null, upTo: 0, isOwn, queued: 0, counted: {} };
    this.#runs.set(watermarkKey(identity), earlier);
    this.#ofRun.set(run, [...(this.#ofRun.get(run) ?? []), earlier]);
    return earlier;
  }

  get all(): Iterable<Earlier> {
    return this.#runs.values();
  }
}

/** Creates the accounts of all runs that have none. Inside the caller's transaction; reads every row that names no audited run. */
export function countEarlierRuns(database: Database, nowMs: number): void {
  const audited = (database.prepare('SELECT * FROM runs').all() as StoredRun[]).map(fromStored);
  const runs = new EarlierRuns(audited);
  for (const { gateway, run, stored, missed } of watermarksOf(database)) {
    const earlier = runs.of(gateway, run, false);
    if (earlier === undefined) continue;
    earlier.upTo = stored;
    for (const [cause, count] of Object.entries(missed)) earlier.counted[spanCode('missed', cause)] = count;
  }
  const rows = database.prepare('SELECT run, data FROM rows WHERE run IS NULL OR run NOT IN (SELECT id FROM runs)');
  for (const row of rows.iterate() as IterableIterator<{ run: number | null; data: string }>) {
    const { gateway, run, seq } = identityIn(row.data);
    if (run === null || seq === null) continue;
    const earlier = runs.of(gateway, run);
    if (earlier === undefined) continue;
    earlier.queued += 1;
    earlier.id ??= row.run;
    if (earlier.isOwn) earlier.upTo = Math.max(earlier.upTo, seq);
  }
  const letters = database.prepare('SELECT gateway, run, seq, reason FROM dead WHERE run IS NOT NULL AND seq IS NOT NULL');
  for (const row of letters.iterate() as IterableIterator<{ gateway: string | null; run: string; seq: number; reason: string }>) {
    const earlier = runs.of(row.gateway ?? undefined, row.run);
    if (earlier === undefined) continue;
    const code = spanCode('dead', row.reason);
    earlier.counted[code] = (earlier.counted[code] ?? 0) + 1;
    if (earlier.isOwn) earlier.upTo = Math.max(earlier.upTo, row.seq);
  }
  const insert = insertRuns(database);
  for (const { identity, id, upTo, isOwn, queued, counted } of runs.all) {
    const known = Object.values(counted).reduce((sum, count) => sum + count, queued);
    if (upTo > known) counted[UNKNOWN] = upTo - known;
    const own = isOwn ? { own: 1, up_to: upTo, closed_ms: nowMs } : {};
    insert({ ...newRun(identity), counted_to: upTo, counted, ...own, ...(id === null ? {} : { id }) });
  }
}
