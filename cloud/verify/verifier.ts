/**
 * Proves from records alone whether anything is missing: the readings give the seqs that are there, their accounts what became of the
 * others. Order and repetition of the records do not matter. Memory grows with runs and losses, not with readings.
 */
import { checkStreamAccount, checkStreamGaps } from '../../contract/stream-account.ts';
import { RunProof, type RunReport } from './run-proof.ts';
import { GapSums, type GapReport } from './gap-sums.ts';

/** A run without any account whose last reading is so much older than the gateway's newest one gets none any more. */
const NO_ACCOUNT_MS = 24 * 3_600_000;

export interface VerifyReport {
  /** Nothing is missing without a cause, and everything could be read. */
  ok: boolean;
  /** Every run is closed. */
  all_closed: boolean;
  /** By gateway and run. */
  runs: RunReport[];
  /** Times without readings, by device and cause: no data, which is not lost data. */
  gaps: GapReport[];
  records: number;
  /** Readings without identity: of the old script, or of a foreign producer. */
  unnumbered: number;
  /** Records that are neither readings nor accounts. */
  foreign: number;
  /** Accounts that do not match their schema; they are ignored. */
  invalid_accounts: number;
  /** Files that could not be read to their end, with the reason. */
  unreadable: { file: string; reason: string }[];
}

export interface VerifierOptions {
  /** Data older than what is read has existed: what is missing at the beginning of a run is no loss. */
  beginsLater?: boolean;
  /** What accounts of the last so many milliseconds claim as shipped may be on its way: Firehose buffers up to 15 minutes. Default: 0. */
  settleMs?: number;
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

interface Gateway {
  accounts: number;
  newestAtMs: number;
  newest: string;
}

export class Verifier {
  readonly #options: VerifierOptions;
  readonly #runs = new Map<string, RunProof>();
  readonly #gateways = new Map<string, Gateway>();
  readonly #gaps = new GapSums();
  #beginsLater: boolean;
  #records = 0;
  #unnumbered = 0;
  #foreign = 0;
  #invalidAccounts = 0;
  readonly #unreadable: VerifyReport['unreadable'] = [];

  constructor(options: VerifierOptions = {}) {
    this.#options = options;
    this.#beginsLater = options.beginsLater ?? false;
  }

  /** See `VerifierOptions.beginsLater`; for a source that finds out. */
  set beginsLater(value: boolean) {
    this.#beginsLater = value || (this.#options.beginsLater ?? false);
  }

  #run(gateway: string, run: string): RunProof {
    const key = `${gateway}\n${run}`;
    let proof = this.#runs.get(key);
    if (proof === undefined) this.#runs.set(key, (proof = new RunProof(gateway, run, this.#options.settleMs ?? 0)));
    return proof;
  }

  #gateway(name: string): Gateway {
    let gateway = this.#gateways.get(name);
    if (gateway === undefined) this.#gateways.set(name, (gateway = { accounts: 0, newestAtMs: 0, newest: '' }));
    return gateway;
  }

  /** A source could not be read to its end. */
  unreadable(file: string, reason: string): void {
    this.#unreadable.push({ file, reason });
  }

  /** Something that is not JSON. */
  notJson(): void {
    this.#records += 1;
    this.#foreign += 1;
  }

  /** One record, parsed. `isHead`: it is among the oldest that were read. */
  add(value: unknown, isHead = false): void {
    this.#records += 1;
    if (!isObject(value)) {
      this.#foreign += 1;
      return;
    }
    const { gateway, timestamp, heart_rate: rate } = value;
    const isReading = typeof timestamp === 'string' && typeof rate === 'number';
    if (!isReading && value['record'] !== 'account') this.#foreign += 1;
    // Before duplicates are removed: a copy may carry what the other one does not.
    if (typeof gateway === 'string') this.#addAccount(gateway, value['account'], timestamp);
    const isCopy = isReading && !this.#reading(value, timestamp, isHead);
    if (!isCopy && typeof gateway === 'string') this.#addGaps(gateway, value['device'], value['gaps']);
  }

  /** False if it was there. */
  #reading({ gateway, run, seq }: Fields, timestamp: string, isHead: boolean): boolean {
    if (
      typeof gateway !== 'string' ||
      typeof run !== 'string' ||
      typeof seq !== 'number' ||
      !Number.isSafeInteger(seq) ||
      seq < 1
    ) {
      this.#unnumbered += 1;
      return true;
    }
    const seen = this.#gateway(gateway);
    if (timestamp > seen.newest) seen.newest = timestamp;
    return this.#run(gateway, run).reading(seq, timestamp, isHead);
  }

  #addAccount(gateway: string, value: unknown, timestamp: unknown): void {
    if (value === undefined) return;
    const checked = checkStreamAccount(value);
    if (!checked.ok) {
      this.#invalidAccounts += 1;
      return;
    }
    const carriedAtMs = typeof timestamp === 'string' ? Date.parse(timestamp) || 0 : 0;
    const seen = this.#gateway(gateway);
    seen.accounts += 1;
    seen.newestAtMs = Math.max(seen.newestAtMs, checked.value.at ?? carriedAtMs);
    this.#run(gateway, checked.value.run).account(checked.value, carriedAtMs);
  }

  #addGaps(gateway: string, device: unknown, value: unknown): void {
    if (value === undefined || typeof device !== 'string') return;
    const checked = checkStreamGaps(value);
    if (checked.ok) this.#gaps.add(gateway, device, checked.value);
    else this.#invalidAccounts += 1;
  }

  #reportOf(proof: RunProof): RunReport {
    const { accounts, newest, newestAtMs } = this.#gateway(proof.gateway);
    const isRecent = accounts > 0 && Date.parse(newest) - Date.parse(proof.newest) < NO_ACCOUNT_MS;
    return proof.report({
      hasAccounts: accounts > 0,
      mayStillCome: isRecent,
      beginsLater: this.#beginsLater,
      newestAtMs,
    });
  }

  report(): VerifyReport {
    const runs = [...this.#runs.values()]
      .map((proof) => this.#reportOf(proof))
      .sort((a, b) => (`${a.gateway}\n${a.run}` < `${b.gateway}\n${b.run}` ? -1 : 1));
    return {
      ok: this.#unreadable.length === 0 && runs.every(({ seqs }) => seqs.unexplained === 0),
      all_closed: runs.every(({ closed }) => closed),
      runs,
      gaps: this.#gaps.report(),
      records: this.#records,
      unnumbered: this.#unnumbered,
      foreign: this.#foreign,
      invalid_accounts: this.#invalidAccounts,
      unreadable: this.#unreadable,
    };
  }
}
