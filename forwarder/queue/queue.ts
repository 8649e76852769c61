/** The queue on the forwarder's main thread: a proxy for the queue thread, which owns the file. */
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { resultCheckerOf, type CommandArgs, type CommandResult, type CommandVerb } from '../../contract/commands.ts';
import type { AccountRecord, StreamGap } from '../../contract/stream-account.ts';
import type { Config } from '../../service/config/config.ts';
import { dataFolder, gatewayName } from '../../service/storage/data-dir.ts';
import { HrError } from '../../service/errors/errors.ts';
import { startWorker } from '../../service/process/worker-thread.ts';
import { CloseGuard } from './close-guard.ts';
import type { DrainQueue, QueuedReading, TakeLimits } from './drain-queue.ts';
import {
  joinAppends,
  mayBeReadable,
  OPENING,
  type Append,
  type QueueReply,
  type QueueRequest,
  type QueueState,
  type QueueWorkerData,
  type RunIdentity,
  type RunWatermark,
} from './queue-messages.ts';
import { ROW_SOURCES } from './row-sources.ts';
import { isFileOpen } from './queue-mode.ts';
import type { ChangedSpans, FoundRun } from './run-account.ts';

const STOP_LIMIT_MS = 8000;
const BACKUPS = 'backups';
/** This many rows are sent to the queue thread before the end of the turn: it commits at as many. */
const GATHERED_ROWS_MAX = 500;

interface QueueEvents {
  /** The file is open, with these watermarks. Once: during `start()`, or later if the file is large or its disk was full. */
  opened: [watermarks: RunWatermark[], queue: string];
  committed: [Extract<QueueReply, { kind: 'committed' }>];
  refused: [Extract<QueueReply, { kind: 'refused' }>];
  state: [QueueState];
  /** Rows were shipped; nothing else has changed. */
  progress: [];
  /** There may be rows to take. */
  readable: [];
  fatal: [Error];
}

export class Queue extends EventEmitter<QueueEvents> implements DrainQueue {
  readonly #config: Config;
  #worker: Worker | undefined;
  #guard: CloseGuard | undefined;
  #stopping = false;
  #stopped: Promise<void> | undefined;
  readonly #opening = new SharedArrayBuffer(4);
  #nextId = 1;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #state: QueueState | undefined;
  /** Of the last refusal; sent with every append (queue-thread.ts). */
  #epoch = 0;
  /** Appends of this turn of the event loop, sent as one message: one message per reading took 18 % of this thread's time. */
  #gathered: Append[] = [];
  #gathering: NodeJS.Immediate | undefined;

  constructor(config: Config) {
    super();
    this.#config = config;
  }

  /** The last state that the queue thread reported. Throws before `start()` has resolved. */
  get state(): QueueState {
    if (this.#state === undefined) throw new Error('the queue is not open');
    return this.#state;
  }

  /** False while the file is being checked, or its disk is too full to open it: `state` has no counts then. */
  get isOpen(): boolean {
    return this.#state !== undefined && isFileOpen(this.#state.mode);
  }

  get depth(): number {
    return this.#state?.ledger.queued ?? 0;
  }

  /**
   * Opens the queue. Resolves once the queue thread has reported a state: if the file is large, or cannot be opened yet, the mode is
   * `checking` or `waiting_to_open`, and `opened` follows. Throws HrError `queue_too_new` or `queue_unusable`.
   */
  async start(): Promise<void> {
    const config = this.#config;
    const data: QueueWorkerData = {
      file: path.join(dataFolder(config), 'queue.db'),
      gateway: gatewayName(config),
      commitIntervalMs: config.QUEUE_COMMIT_INTERVAL_MS,
      maxBytes: config.QUEUE_MAX_BYTES,
      minFreeDiskBytes: config.QUEUE_MIN_FREE_DISK_BYTES,
      auditDays: config.AUDIT_DAYS,
      whenFull: config.QUEUE_WHEN_FULL,
      accounts: config.KINESIS_ACCOUNTS,
      shipsTestReadings: config.KINESIS_TARGET === 'local' || config.ALLOW_TEST_READINGS,
      opening: this.#opening,
    };
    this.#guard = new CloseGuard(data.file);
    const worker = startWorker(import.meta.url, './queue-worker', { workerData: data });
    this.#worker = worker;
    worker.on('error', (error) => this.#fatal(error));
    worker.on('exit', (code) => this.#fatal(new Error(`the queue thread ended with exit code ${code}`)));
    const [first] = (await once(worker, 'message')) as [QueueReply];
    if (first.kind === 'failed') {
      this.#stopping = true;
      void worker.terminate();
      throw this.#unusable(first);
    }
    worker.on('message', (reply: QueueReply) => this.#receive(reply));
    this.#receive(first);
  }

  #unusable({ code, message }: Extract<QueueReply, { kind: 'failed' }>): HrError {
    return new HrError(code === 'queue_too_new' ? 'queue_too_new' : 'queue_unusable', {
      operation: 'open the queue',
      detail: message,
    });
  }

  #fatal(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (this.#stopping) return;
    this.#stopping = true;
    this.emit('fatal', error);
  }

  /** The state; and once a file is open that was not before, the guard holds it. */
  #follow(reply: QueueReply): void {
    const wasReplacing = this.#state?.mode === 'replacing';
    if ('state' in reply) this.#state = reply.state;
    if (reply.kind === 'opened' || (wasReplacing && this.isOpen)) this.#guard?.hold();
  }

  #receive(reply: QueueReply): void {
    this.#follow(reply);
    switch (reply.kind) {
      case 'taken':
      case 'answer': {
        const waiting = this.#waiting.get(reply.id);
        this.#waiting.delete(reply.id);
        return waiting?.resolve(reply.kind === 'taken' ? reply.rows : reply.value);
      }
      case 'error': {
        const waiting = this.#waiting.get(reply.id);
        this.#waiting.delete(reply.id);
        return waiting?.reject(new Error(reply.message));
      }
      case 'committed':
        this.emit('committed', reply);
        return this.#emitReadable(reply);
      case 'refused':
        // Numbered readings that were gathered before the refusal was known follow a gap; their bridge sends them again.
        this.#gathered = this.#gathered.filter(({ watermarks }) => watermarks.length === 0);
        this.#epoch = reply.epoch;
        return void this.emit('refused', reply);
      case 'opened':
        this.emit('opened', reply.watermarks, reply.queue);
        this.emit('state', reply.state);
        return undefined;
      case 'failed':
        return this.#fatal(this.#unusable(reply));
      case 'waiting':
      case 'state':
        this.emit('state', reply.state);
        return this.#emitReadable(reply);
      case 'readable':
        return this.#emitReadable(reply);
      case 'progress':
        return void this.emit('progress');
      default:
        return undefined;
    }
  }

  #emitReadable(reply: QueueReply): void {
    if (mayBeReadable(reply)) this.emit('readable');
  }

  #send(request: QueueRequest): void {
    this.#worker?.postMessage(request);
  }

  async #ask(make: (id: number) => QueueRequest): Promise<unknown> {
    const id = this.#nextId;
    this.#nextId += 1;
    return await new Promise((resolve, reject) => {
      if (this.#stopping) return reject(new Error('the queue is closed'));
      this.#waiting.set(id, { resolve, reject });
      this.#send(make(id));
    });
  }

  /** Asks the queue's thread for the result of a command, as the contract describes it. */
  async #command<V extends CommandVerb>(verb: V, make: (id: number) => QueueRequest): Promise<CommandResult<V>> {
    const result = resultCheckerOf(verb)(await this.#ask(make));
    if (result.ok) return result.value;
    throw new HrError('command_failed', { operation: verb, detail: result.reason });
  }

  append(append: Append): void {
    const last = this.#gathered.at(-1);
    if (last === undefined || !joinAppends(last, append)) this.#gathered.push(append);
    if ((this.#gathered.at(-1)?.rows.data.length ?? 0) >= GATHERED_ROWS_MAX) this.#sendGathered();
    else this.#gathering ??= setImmediate(() => this.#sendGathered());
  }

  #sendGathered(): void {
    clearImmediate(this.#gathering);
    this.#gathering = undefined;
    const appends = this.#gathered;
    this.#gathered = [];
    if (appends.length > 0) this.#send({ kind: 'append', appends, epoch: this.#epoch });
  }

  async take(limits: TakeLimits): Promise<QueuedReading[]> {
    const rows = (await this.#ask((id) => ({ kind: 'take', id, ...limits }))) as Extract<QueueReply, { kind: 'taken' }>['rows'];
    return rows.data.map((data, index) => ({
      isBacklog: index >= rows.liveRows,
      id: rows.ids[index] ?? 0,
      device: rows.devices[index] ?? '',
      source: ROW_SOURCES[rows.sources[index] ?? 0] ?? 'real',
      acceptedAtMs: rows.acceptedAtMs[index] ?? 0,
      data,
    }));
  }

  goLive(sinceMs: number): void {
    this.#send({ kind: 'goLive', sinceMs });
  }

  acknowledge(ids: readonly number[]): void {
    this.#send({ kind: 'acknowledge', ids: Float64Array.from(ids) });
  }

  evict(ids: readonly number[], cause: string): void {
    this.#send({ kind: 'evict', ids: Float64Array.from(ids), cause });
  }

  putBack(device: string, ids: readonly number[]): void {
    this.#send({ kind: 'putBack', device, ids: Float64Array.from(ids) });
  }

  release(device: string): void {
    this.#send({ kind: 'release', device });
  }

  bury(rowId: number, reason: string, detail: string): void {
    this.#send({ kind: 'bury', rowId, reason, detail });
  }

  async deadLetters(limit: number, before: number | null): Promise<CommandResult<'list-dead-letters'>> {
    return await this.#command('list-dead-letters', (id) => ({ kind: 'deadLetters', id, limit, before }));
  }

  async retryDead(ids: number[] | null): Promise<CommandResult<'retry-dead-letters'>> {
    return await this.#command('retry-dead-letters', (id) => ({ kind: 'retryDead', id, ids }));
  }

  async discardDead(ids: number[] | null): Promise<CommandResult<'discard-dead-letters'>> {
    return await this.#command('discard-dead-letters', (id) => ({ kind: 'discardDead', id, ids }));
  }

  /**
   * What became of each seq of a run. Throws HrError `run_unknown`, or `run_ambiguous` if several gateways have this run and none is
   * named.
   */
  async showRun({ run, gateway, from }: CommandArgs<'show-run'>): Promise<CommandResult<'show-run'>> {
    const operation = 'show a run';
    const answer = (await this.#ask((id) => ({
      kind: 'showRun',
      id,
      run,
      gateway: gateway ?? null,
      from: from ?? null,
    }))) as FoundRun;
    if (answer.kind === 'unknown') throw new HrError('run_unknown', { operation, detail: run });
    if (answer.kind === 'ambiguous')
      throw new HrError('run_ambiguous', { operation, detail: `${run} of ${answer.gateways.join(', ')}`.slice(0, 1000) });
    return answer.account;
  }

  /**
   * What changed in a run's account since a revision, for seqs up to `upTo` (run-account.ts, spansSince); undefined: no such run. For the
   * accounts that travel with readings.
   */
  async runSpans(run: RunIdentity, since: number, upTo: number): Promise<ChangedSpans | undefined> {
    return ((await this.#ask((id) => ({ kind: 'runSpans', id, run, since, upTo }))) as ChangedSpans | null) ?? undefined;
  }

  /** The newest accounts as records of the stream; `accountRecordsSent` says what became of them. */
  async accountRecords(): Promise<AccountRecord[]> {
    const request = { act: 'take' } as const;
    return (await this.#ask((id) => ({ kind: 'accounts', id, request }))) as AccountRecord[];
  }

  async accountRecordsSent(records: 'stored' | 'lost'): Promise<void> {
    await this.#ask((id) => ({ kind: 'accounts', id, request: { act: 'sent', records } }));
  }

  /** A device had no readings for a time: the stream tells so with its next reading. */
  async addGap(device: string, gap: StreamGap): Promise<void> {
    await this.#ask((id) => ({ kind: 'accounts', id, request: { act: 'gap', device, gap } }));
  }

  async acknowledgeDamage(): Promise<CommandResult<'acknowledge-damage'>> {
    return await this.#command('acknowledge-damage', (id) => ({ kind: 'acknowledgeDamage', id }));
  }

  /** Writes a consistent copy to DATA_DIR/backups while the queue keeps working. */
  async backup(): Promise<CommandResult<'backup'>> {
    // In full: who asked runs in another folder.
    const file = path.resolve(dataFolder(this.#config, BACKUPS), `queue-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.db`);
    return await this.#command('backup', (id) => ({ kind: 'backup', id, file }));
  }

  /**
   * Commits what is pending and closes the file, within 8 s. Throws HrError `worker_failed` if that takes longer: end the process by a
   * kill then, which leaves the file whole; terminating the thread would not.
   */
  async stop(): Promise<void> {
    await (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#sendGathered();
    const worker = this.#worker;
    this.#worker = undefined;
    const hasEnded = this.#stopping;
    this.#stopping = true;
    if (worker === undefined || hasEnded) return this.#guard?.release();
    const mayTerminate =
      Atomics.compareExchange(new Int32Array(this.#opening), 0, OPENING.idle, OPENING.given_up) === OPENING.idle;
    if (mayTerminate) return void (await worker.terminate());
    // The thread's connection is the last one then, and removes the log.
    this.#guard?.release();
    const ended = once(worker, 'exit').then(() => true);
    worker.postMessage({ kind: 'stop' } satisfies QueueRequest);
    const limit = new AbortController();
    const late = sleep(STOP_LIMIT_MS, false, { signal: limit.signal });
    const inTime = await Promise.race([ended.catch(() => true), late]);
    limit.abort();
    if (inTime) return;
    worker.unref();
    throw new HrError('worker_failed', { operation: 'close the queue', detail: `not closed within ${STOP_LIMIT_MS} ms` });
  }
}
