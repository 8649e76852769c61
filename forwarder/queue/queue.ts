/** The queue as the forwarder's main thread sees it: it speaks to the thread that owns the file. */
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Config } from '../../service/config/config.ts';
import { dataFolder } from '../../service/storage/data-dir.ts';
import { HrError } from '../../service/errors/errors.ts';
import { startWorker } from '../../service/process/worker-thread.ts';
import type { DrainQueue, QueuedReading } from './drain-queue.ts';
import {
  joinAppends,
  ROW_SOURCES,
  type Append,
  type QueueReply,
  type QueueRequest,
  type QueueState,
  type QueueWorkerData,
  type RunWatermark,
} from './queue-messages.ts';

const STOP_LIMIT_MS = 8000;
const BACKUPS = 'backups';
/** So many rows go to the queue's thread without waiting for the end of the turn: it commits at as many. */
const GATHERED_ROWS_MAX = 500;

interface QueueEvents {
  /** The file is open: the watermarks that it holds. Once, at `start()` or, where the disk was full then, later. */
  opened: [RunWatermark[]];
  committed: [Extract<QueueReply, { kind: 'committed' }>];
  refused: [Extract<QueueReply, { kind: 'refused' }>];
  state: [QueueState];
  settled: [];
  fatal: [Error];
}

export class Queue extends EventEmitter<QueueEvents> implements DrainQueue {
  readonly #config: Config;
  #worker: Worker | undefined;
  #isOpen = false;
  #stopping = false;
  #nextId = 1;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #readable: (() => void)[] = [];
  #state: QueueState | undefined;
  #epoch = 0;
  /** Appends of this turn of the event loop: they go to the queue's thread as one message (one a reading took 18 % of this thread). */
  #gathered: Append[] = [];
  #gathering: NodeJS.Immediate | undefined;

  constructor(config: Config) {
    super();
    this.#config = config;
  }

  /** The last state that the queue's thread told. */
  get state(): QueueState {
    if (this.#state === undefined) throw new Error('the queue is not open');
    return this.#state;
  }

  /** False while the file is looked at before it is used, or its disk is full: what `state` counts then is nothing. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get depth(): number {
    return this.#state?.ledger.queued ?? 0;
  }

  /** Opens the queue; on a full disk it goes on trying, a large file is looked at first: `state` says so, and `opened` follows. Throws HrError `queue_too_new` or `queue_unusable`. */
  async start(): Promise<void> {
    const config = this.#config;
    const data: QueueWorkerData = {
      file: path.join(dataFolder(config), 'queue.db'),
      commitIntervalMs: config.QUEUE_COMMIT_INTERVAL_MS,
      maxBytes: config.QUEUE_MAX_BYTES,
      minFreeDiskBytes: config.QUEUE_MIN_FREE_DISK_BYTES,
      whenFull: config.QUEUE_WHEN_FULL,
    };
    const worker = startWorker(
      import.meta.url,
      './queue-worker',
      { workerData: data },
      (message) => (message as QueueReply).kind !== 'waiting',
    );
    this.#worker = worker;
    worker.on('error', (error) => this.#fatal(error));
    worker.on('exit', (code) => this.#fatal(new Error(`the queue's thread ended with ${code}`)));
    const [first] = (await once(worker, 'message')) as [QueueReply];
    if (first.kind === 'failed') {
      this.#stopping = true;
      void worker.terminate();
      throw this.#unusable(first);
    }
    worker.on('message', (reply: QueueReply) => this.#heard(reply));
    this.#heard(first);
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

  #heard(reply: QueueReply): void {
    if ('state' in reply) this.#state = reply.state;
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
        if (reply.rows > 0) for (const listener of this.#readable) listener();
        return undefined;
      case 'refused':
        // Gathered before the refusal was known, it has a hole before it; its bridge sends it again. What has no number waits for nothing.
        this.#gathered = this.#gathered.filter(({ watermarks }) => watermarks.length === 0);
        this.#epoch = reply.epoch;
        return void this.emit('refused', reply);
      case 'opened':
        this.#isOpen = true;
        this.emit('opened', reply.watermarks);
        this.emit('state', reply.state);
        return undefined;
      case 'failed':
        return this.#fatal(this.#unusable(reply));
      case 'waiting':
      case 'state':
        this.emit('state', reply.state);
        for (const listener of this.#readable) listener();
        return undefined;
      case 'settled':
        return void this.emit('settled');
      default:
        return undefined;
    }
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

  async take(limits: { maxRows: number; maxBytes: number }): Promise<QueuedReading[]> {
    const rows = (await this.#ask((id) => ({ kind: 'take', id, ...limits }))) as Extract<QueueReply, { kind: 'taken' }>['rows'];
    return rows.data.map((data, index) => ({
      id: rows.ids[index] ?? 0,
      device: rows.devices[index] ?? '',
      source: ROW_SOURCES[rows.sources[index] ?? 0] ?? 'real',
      acceptedAtMs: rows.acceptedAtMs[index] ?? 0,
      data,
    }));
  }

  acknowledge(ids: readonly number[]): void {
    this.#send({ kind: 'acknowledge', ids: Float64Array.from(ids) });
  }

  evict(ids: readonly number[], cause: string): void {
    this.#send({ kind: 'evict', ids: Float64Array.from(ids), cause });
  }

  bury(rowId: number, reason: string, detail: string): void {
    this.#send({ kind: 'bury', rowId, reason, detail });
  }

  onReadable(listener: () => void): void {
    this.#readable.push(listener);
  }

  async deadLetters(limit: number, before: number | null): Promise<unknown> {
    return await this.#ask((id) => ({ kind: 'deadLetters', id, limit, before }));
  }

  async retryDead(ids: number[] | null): Promise<unknown> {
    return await this.#ask((id) => ({ kind: 'retryDead', id, ids }));
  }

  async discardDead(ids: number[] | null): Promise<unknown> {
    return await this.#ask((id) => ({ kind: 'discardDead', id, ids }));
  }

  async acknowledgeDamage(): Promise<unknown> {
    return await this.#ask((id) => ({ kind: 'acknowledgeDamage', id }));
  }

  /** A consistent copy in DATA_DIR/backups, while the queue goes on. */
  async backup(): Promise<unknown> {
    const file = path.join(dataFolder(this.#config, BACKUPS), `queue-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.db`);
    return await this.#ask((id) => ({ kind: 'backup', id, file }));
  }

  /** Commits what is pending and closes the file. */
  async stop(): Promise<void> {
    this.#sendGathered();
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined || this.#stopping) {
      this.#stopping = true;
      return;
    }
    this.#stopping = true;
    if (!this.#isOpen) return void (await worker.terminate());
    const ended = once(worker, 'exit');
    worker.postMessage({ kind: 'stop' } satisfies QueueRequest);
    const limit = setTimeout(() => void worker.terminate(), STOP_LIMIT_MS);
    await ended.catch(() => undefined);
    clearTimeout(limit);
  }
}
