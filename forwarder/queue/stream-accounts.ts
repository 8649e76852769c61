/**
 * Writes accounts of runs into the stream (contract/stream-account.ts). With `readings`, an account becomes part of a row in the
 * transaction that accepts the row, so every attempt to send it sends the same bytes. An account covers what was settled by then: it is
 * shipped after what it reports. With `records`, accounts are records of their own; what they reported counts once they were sent.
 *
 * What was reported of each run is in the table of cursors. It advances in the transaction that attaches the last account of a run, and is
 * forgotten if a row with an account is not shipped: then the run is reported again.
 */
import {
  GAPS_MAX,
  type AccountMode,
  type AccountRecord,
  type StreamAccount,
  type StreamGap,
} from '../../contract/stream-account.ts';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { AccountCursors, type AccountCursor } from './account-cursors.ts';
import { accountsOf } from './account-texts.ts';
import type { LedgerState } from './ledger.ts';
import type { AccountsRequest, Append, QueueWorkerData } from './queue-messages.ts';
import type { RunAudit, RunView } from './run-audit.ts';
import type { Span } from './run-spans.ts';
import type { Run } from './run-table.ts';
import { rowChecksum, type StoredRow } from './stored-rows.ts';

const EVERY_MS = 60_000;
/** Rows of a commit that may get an account. */
const ROWS_MAX = 500;
/** A reading stays below the size that consumers accept. */
const CARRIER_MAX_BYTES = 32 * 1024;
/** Gaps that wait for a reading of their device. The oldest are dropped: no reading of their device has come since. */
const GAPS_WAITING_MAX = 1000;

export interface StreamAccountsOptions {
  /** Name of this box. */
  gateway: string;
  mode: AccountMode;
  /** Whether simulated and replayed readings are shipped: else they carry no account. */
  shipsTestReadings: boolean;
  /** Between two accounts of a run; shorter in tests. */
  everyMs?: number | undefined;
}

/** What the thread's settings say of accounts. */
export function accountsOptions(
  options: Pick<QueueWorkerData, 'gateway' | 'accounts' | 'shipsTestReadings'> & { accountsEveryMs?: number },
): StreamAccountsOptions {
  const { gateway, accounts: mode = 'off', shipsTestReadings = true, accountsEveryMs: everyMs } = options;
  return { gateway, mode, shipsTestReadings, everyMs };
}

interface Piece {
  runId: number;
  account: StreamAccount;
  /** With the last account of a run: what is reported once it is in the file. */
  cursor: AccountCursor | undefined;
}

/** What is reported of a run once the accounts of this view are in the file. */
const cursorAfter = ({ run, tail, upTo, isClosed }: RunView, revision: number, at: number): AccountCursor => ({
  gateway: run.gateway,
  run: run.run,
  revision,
  shipped_from: tail?.first ?? 0,
  shipped_to: tail?.last ?? 0,
  counted_to: run.counted_to,
  final_to: isClosed && upTo > 0 ? upTo : -1,
  at,
});

type Change = (work: (next: LedgerState) => void) => void;

export class StreamAccounts {
  readonly #options: StreamAccountsOptions;
  readonly #audit: RunAudit;
  readonly #cursors: AccountCursors;
  readonly #change: Change;
  readonly #selectNew: Statement;
  readonly #selectRow: Statement;
  readonly #selectCarrier: Statement;
  readonly #update: Statement;
  /** Runs that are not reported as final. */
  #open: Set<number> | undefined;
  /** Accounts that wait for a reading, by gateway. */
  #pieces = new Map<string, Piece[]>();
  #gaps = new Map<string, StreamGap[]>();
  /** Of this transaction. */
  #gapsAttached: [device: string, gap: StreamGap][] = [];
  /** Taken by the main thread. */
  #sending: { cursors: AccountCursor[]; gaps: [device: string, gap: StreamGap][] } = { cursors: [], gaps: [] };
  #builtAtMs = Number.NEGATIVE_INFINITY;
  #lastAt = 0;

  /** `change` runs a transaction of the file. */
  constructor(database: Database, audit: RunAudit, change: Change, options: StreamAccountsOptions) {
    this.#options = options;
    this.#audit = audit;
    this.#change = change;
    this.#cursors = new AccountCursors(database);
    this.#selectNew = database.prepare(
      `SELECT id, run, source, device, octet_length(data) AS bytes FROM rows WHERE id >= ? AND run IS NOT NULL
         ORDER BY id LIMIT ${ROWS_MAX}`,
    );
    this.#selectRow = database.prepare('SELECT * FROM rows WHERE id = ?');
    this.#selectCarrier = database.prepare('SELECT run, device, account FROM rows WHERE id = ? AND account IS NOT NULL');
    this.#update = database.prepare('UPDATE rows SET account = ?, crc = ? WHERE id = ?');
  }

  #nextAt(): number {
    if (this.#lastAt === 0) this.#lastAt = this.#cursors.lastAt;
    this.#lastAt = Math.max(this.#lastAt + 1, Date.now());
    return this.#lastAt;
  }

  /** What is not reported of a run yet, as accounts; none if there is nothing. */
  #piecesOf(view: RunView, cursor: AccountCursor, revision: number): Piece[] {
    const { run, upTo } = view;
    const spans = this.#unreported(view, cursor);
    const isFinal = view.isClosed && upTo > 0;
    const isCountedNew = run.counted_to > cursor.counted_to;
    if (spans.length === 0 && !isCountedNew && (!isFinal || cursor.final_to === upTo)) return [];
    // A final account names the last seq of its run.
    if (isFinal && spans.at(-1)?.last !== upTo) spans.push(...this.#audit.list(view, upTo, 1).slice(-1));
    const accounts = accountsOf({
      run: run.run,
      spans,
      ...(isCountedNew || spans.length === 0 ? { counted: { to: run.counted_to, counts: run.counted } } : {}),
      isFinal,
      nextAt: () => this.#nextAt(),
    });
    const reported = cursorAfter(view, revision, this.#lastAt);
    return accounts.map((account, index) => ({
      runId: run.id,
      account,
      cursor: index === accounts.length - 1 ? reported : undefined,
    }));
  }

  #unreported(view: RunView, { revision, shipped_from, shipped_to }: AccountCursor): Span[] {
    const changed = this.#audit.changedSince(view, revision, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    const isTailReported = view.tail?.first === shipped_from && view.tail.last === shipped_to;
    return isTailReported ? changed.slice(0, -1) : changed;
  }

  /** Collects what is new in all runs whose gateway has nothing waiting. */
  #build(next: LedgerState): void {
    this.#builtAtMs = performance.now();
    if (this.#open === undefined) {
      this.#open = new Set(this.#audit.all.map(({ id }) => id));
      this.#cursors.expire();
    }
    for (const id of this.#audit.touched) this.#open.add(id);
    this.#audit.touched.clear();
    const busy = new Set(this.#pieces.keys());
    const nowMs = Date.now();
    for (const id of this.#open) {
      const run = this.#audit.byId(id);
      if (run === undefined) this.#open.delete(id);
      else if (!busy.has(run.gateway)) this.#collect(next, run, nowMs, this.#open);
    }
  }

  #collect(next: LedgerState, run: Run, nowMs: number, open: Set<number>): void {
    const view = this.#audit.view(next, run, nowMs);
    const cursor = this.#cursors.of(run);
    const pieces = this.#piecesOf(view, cursor, next.audit.revision);
    if (pieces.length === 0) {
      if (view.isClosed && cursor.final_to === view.upTo) open.delete(run.id);
      return;
    }
    const waiting = this.#pieces.get(run.gateway);
    if (waiting === undefined) this.#pieces.set(run.gateway, pieces);
    else waiting.push(...pieces);
  }

  #mayCarry(appends: readonly Append[]): boolean {
    const { gateway } = this.#options;
    return appends.some(
      ({ rows, numbered = [] }) =>
        numbered.some((part) => this.#pieces.has(part.gateway)) ||
        (numbered.length === 0 && rows.data.length > 0 && this.#pieces.has(gateway)) ||
        (this.#gaps.size > 0 && rows.devices.some((device) => this.#gaps.has(device))),
    );
  }

  /** Adds accounts and gaps to rows that this transaction has accepted: those from `firstId` on. */
  attach(next: LedgerState, firstId: number, appends: readonly Append[]): void {
    if (this.#options.mode !== 'readings' || next.nextRowId === firstId) return;
    if (performance.now() - this.#builtAtMs >= (this.#options.everyMs ?? EVERY_MS)) this.#build(next);
    if (this.#pieces.size + this.#gaps.size === 0 || !this.#mayCarry(appends)) return;
    type Carrier = Required<Pick<StoredRow, 'id' | 'source' | 'device'>> & { run: number; bytes: number };
    for (const { id, run, source, device, bytes } of this.#selectNew.all(firstId) as Carrier[]) {
      if (bytes > CARRIER_MAX_BYTES || (source !== 0 && !this.#options.shipsTestReadings)) continue;
      const gateway = this.#audit.byId(run)?.gateway;
      const fields = [...this.#accountField(gateway), ...this.#gapsField(device)];
      if (fields.length > 0) this.#setAccount(id, fields.join(','));
    }
  }

  #accountField(gateway: string | undefined): string[] {
    const waiting = gateway === undefined ? undefined : this.#pieces.get(gateway);
    const piece = waiting?.shift();
    if (gateway === undefined || piece === undefined) return [];
    if (waiting?.length === 0) this.#pieces.delete(gateway);
    if (piece.cursor !== undefined) this.#cursors.write(piece.cursor);
    return [`"account":${JSON.stringify(piece.account)}`];
  }

  #gapsField(device: string): string[] {
    const gaps = this.#takeGaps(device);
    this.#gapsAttached.push(...gaps.map((gap): [string, StreamGap] => [device, gap]));
    return gaps.length === 0 ? [] : [`"gaps":${JSON.stringify(gaps)}`];
  }

  #takeGaps(device: string): StreamGap[] {
    const waiting = this.#gaps.get(device);
    const gaps = waiting?.splice(0, GAPS_MAX) ?? [];
    if (waiting?.length === 0) this.#gaps.delete(device);
    return gaps;
  }

  #setAccount(id: number, account: string): void {
    const row = this.#selectRow.get(id) as StoredRow | undefined;
    if (row !== undefined) this.#update.run(account, rowChecksum({ ...row, account }), id);
  }

  /** These rows are deleted although they were not shipped: what they carry is reported again. */
  notShipped(ids: readonly number[]): void {
    for (const id of ids) {
      const row = this.#selectCarrier.get(id) as { run: number | null; device: string; account: string } | undefined;
      if (row === undefined) continue;
      const { account, gaps = [] } = JSON.parse(`{${row.account}}`) as { account?: StreamAccount; gaps?: StreamGap[] };
      for (const gap of gaps) this.#addGap(row.device, gap);
      const gateway = row.run === null ? undefined : this.#audit.byId(row.run)?.gateway;
      if (account !== undefined && gateway !== undefined) this.#reportAgain({ gateway, run: account.run });
    }
  }

  #reportAgain({ gateway, run }: { gateway: string; run: string }): void {
    this.#cursors.forget({ gateway, run });
    for (const { id } of this.#audit.find(run, gateway)) this.#open?.add(id);
    const waiting = this.#pieces.get(gateway)?.filter(({ account }) => account.run !== run) ?? [];
    if (waiting.length === 0) this.#pieces.delete(gateway);
    else this.#pieces.set(gateway, waiting);
  }

  #addGap(device: string, gap: StreamGap): void {
    const waiting = this.#gaps.get(device);
    if (waiting === undefined) {
      const [oldest] = this.#gaps.keys();
      if (this.#gaps.size >= GAPS_WAITING_MAX && oldest !== undefined) this.#gaps.delete(oldest);
      this.#gaps.set(device, [gap]);
    } else if (waiting.length < GAPS_MAX) waiting.push(gap);
  }

  /** The transaction was committed. */
  committed(): void {
    this.#gapsAttached = [];
  }

  /** The transaction failed: nothing was attached. */
  rolledBack(): void {
    this.#cursors.rolledBack();
    this.#pieces.clear();
    this.#builtAtMs = Number.NEGATIVE_INFINITY;
    for (const [device, gap] of this.#gapsAttached) this.#addGap(device, gap);
    this.#gapsAttached = [];
  }

  /** `ledger`: as it is committed. */
  answer(request: AccountsRequest, ledger: LedgerState): AccountRecord[] | null {
    if (request.act === 'gap') {
      if (this.#options.mode !== 'off') this.#addGap(request.device, request.gap);
    } else if (request.act === 'take') return this.#records(ledger);
    else this.#sent(request.records);
    return null;
  }

  /** Everything that is new, as records; a heartbeat if there is nothing. */
  #records(ledger: LedgerState): AccountRecord[] {
    if (this.#options.mode !== 'records') return [];
    this.#build(ledger);
    const own = this.#options.gateway;
    const base = { record: 'account' as const, sent_at: new Date(Date.now()).toISOString() };
    const pieces = [...this.#pieces].flatMap(([gateway, waiting]) => waiting.map((piece) => ({ gateway, ...piece })));
    const gaps = [...this.#gaps].map(([device, waiting]) => ({ device, gaps: waiting }));
    this.#pieces = new Map();
    this.#gaps = new Map();
    this.#sending = {
      cursors: pieces.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor])),
      gaps: gaps.flatMap(({ device, gaps: waiting }) => waiting.map((gap): [string, StreamGap] => [device, gap])),
    };
    const records: AccountRecord[] = [
      ...pieces.map(({ gateway, account }) => ({ ...base, gateway, account })),
      ...gaps.map((each) => ({ ...base, gateway: own, ...each })),
    ];
    return records.length > 0 ? records : [{ ...base, gateway: own }];
  }

  #sent(records: 'stored' | 'lost'): void {
    const { cursors, gaps } = this.#sending;
    this.#sending = { cursors: [], gaps: [] };
    if (records === 'lost') for (const [device, gap] of gaps) this.#addGap(device, gap);
    else if (cursors.length > 0)
      this.#change(() => {
        for (const cursor of cursors) this.#cursors.write(cursor);
      });
  }
}
