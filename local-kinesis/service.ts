/** The embedded stream: Kinesis' protocol on loopback, to run without an AWS account. This is the composition root of the service. */
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import { ControlSocket } from '../service/control/control-socket.ts';
import { VERSION } from '../service/process/version.ts';
import { dataFolder, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import { HrError, listenError } from '../service/errors/errors.ts';
import { streamAddress } from '../service/config/stream-address.ts';
import { RepeatLimiter } from '../service/log/log.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { startWorker } from '../service/process/worker-thread.ts';
import type { StreamWorkerData, StreamWorkerMessage } from './stream-worker.ts';

const STOP_LIMIT_MS = 5000;

export class LocalKinesisService implements Service {
  readonly name = 'local-kinesis';
  readonly #context: ServiceContext;
  readonly #control: ControlSocket;
  #lock: DataDirLock | undefined;
  #worker: Worker | undefined;
  #ended: Promise<void> = Promise.resolve();
  #port = 0;
  #stopping = false;

  constructor(context: ServiceContext) {
    this.#context = context;
    const { config, log } = context;
    const since = new Date().toISOString();
    this.#control = new ControlSocket({
      service: this.name,
      config,
      log,
      status: () => ({ service: this.name, state: 'online', since, version: VERSION }),
    });
  }

  /** The port that the stream listens on, once started. */
  get port(): number {
    return this.#port;
  }

  /** Throws HrError `data_dir_in_use`, `port_in_use` or `local_stream_unusable`. */
  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#lock = lockDataDir(config, 'local-kinesis');
    const data: StreamWorkerData = {
      file: path.join(dataFolder(config), 'local-kinesis.db'),
      host: config.LOCAL_KINESIS_HOST,
      port: config.LOCAL_KINESIS_PORT,
      stream: streamAddress(config.KINESIS_STREAM).name,
      enforceLimits: config.LOCAL_KINESIS_LIMITS,
      faultHooks: config.LOCAL_KINESIS_FAULTS,
      allowedHosts: config.LOCAL_KINESIS_ALLOWED_HOSTS,
    };
    const worker = startWorker(import.meta.url, './stream-worker', { workerData: data });
    this.#worker = worker;
    worker.on('error', (error) => this.#failed(error));
    // Registered here: a thread whose start failed has often exited before `stop`.
    this.#ended = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.on('exit', (code) => this.#failed(new Error(`exit code ${code}`)));
    const message = await new Promise<StreamWorkerMessage>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('the worker exited')));
    });
    if (message.kind !== 'listening') {
      this.#stopping = true;
      const reason = message.kind === 'failed' ? message : { code: undefined, message: message.kind };
      if (reason.code === 'EADDRINUSE')
        throw listenError(
          Object.assign(new Error(reason.message), { code: reason.code }),
          'LOCAL_KINESIS_PORT',
          `${data.host}:${data.port}`,
        );
      throw new HrError('local_stream_unusable', { operation: `open ${data.file}`, detail: reason.message });
    }
    this.#port = message.port;
    const repeats = new RepeatLimiter(log);
    worker.on('message', (later: StreamWorkerMessage) => {
      if (later.kind === 'error')
        repeats.error(later.message, { event: 'local_stream_error', reason: later.message }, 'error in the local stream');
      if (later.kind === 'limited')
        repeats.warn(
          later.client,
          { event: 'http_client_limited', client: later.client, what: later.what },
          'limiting an HTTP client of the local stream',
        );
    });
    this.#control.start();
    log.info({ event: 'listening', host: data.host, port: this.#port, stream: data.stream }, 'local stream is listening');
  }

  #failed(error: unknown): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#context.onFatal?.(
      new HrError('worker_failed', { operation: 'run the local stream', detail: String(error), cause: error }),
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#control.stop();
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker !== undefined) {
      worker.postMessage('stop');
      const limit = setTimeout(() => void worker.terminate(), STOP_LIMIT_MS);
      await this.#ended;
      clearTimeout(limit);
    }
    this.#lock?.release();
    this.#lock = undefined;
  }
}
