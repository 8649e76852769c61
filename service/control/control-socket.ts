/**
 * The control socket of a running service: how the `hr-gateway` command of this machine finds it and asks it, whatever its ports are and
 * whether or not the broker works. Only the user of the service (and root) can open it; the lock of DATA_DIR is held before it is made, so
 * what is left of an earlier process is removed.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import {
  CONTROL_MAX_BYTES,
  controlArgsCheckerOf,
  isControlVerb,
  parseControlRequest,
  type ControlArgs,
  type ControlResult,
  type ControlVerb,
} from '../../contract/control.ts';
import type { ResponseMessage } from '../../contract/response.ts';
import type { ServiceStatus } from '../../contract/service-status.ts';
import type { ServiceName } from '../../contract/topics.ts';
import { settingsInEffect, type Config } from '../config/config.ts';
import { HrError, messageOf } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { dataFolder } from '../storage/data-dir.ts';
import { CONTROL_FOLDER, controlSocketName, shortSocketPath, type ShortPath } from './socket-path.ts';

type Handler<V extends ControlVerb> = (args: ControlArgs<V>) => Promise<ControlResult<V>>;
export type ControlHandlers = { [V in ControlVerb]?: Handler<V> };

export interface ControlSocketOptions {
  service: ServiceName;
  config: Config;
  log: Logger;
  /** The status of the service now. */
  status: () => ServiceStatus;
  /** Of this service alone; `show-settings` and `show-status` are answered by the socket itself. */
  handlers?: ControlHandlers;
}

const CONNECTIONS_MAX = 16;
/** A request is one line, written at once. */
const REQUEST_LIMIT_MS = 5000;
/** A full disk has no room for the socket: it is tried again. */
const RETRY_MS = 10_000;

type Runner = (args: unknown) => Promise<unknown>;

function runnerOf<V extends ControlVerb>(verb: V, handler: Handler<V>): Runner {
  const check = controlArgsCheckerOf(verb);
  return async (args) => {
    const checked = check(args);
    if (!checked.ok) throw new HrError('command_invalid', { operation: verb, detail: checked.reason });
    return await handler(checked.value);
  };
}

export class ControlSocket {
  readonly #options: ControlSocketOptions;
  readonly #runners = new Map<string, Runner>();
  readonly #open = new Set<Socket>();
  #server: Server | undefined;
  #path: ShortPath | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ControlSocketOptions) {
    this.#options = options;
    const handlers: ControlHandlers = {
      ...options.handlers,
      'show-settings': async () => settingsInEffect(options.service, options.config),
      'show-status': async () => options.status(),
    };
    for (const verb of Object.keys(handlers)) if (isControlVerb(verb)) this.#add(verb, handlers);
  }

  #add<V extends ControlVerb>(verb: V, handlers: ControlHandlers): void {
    const handler = handlers[verb];
    if (handler !== undefined) this.#runners.set(verb, runnerOf(verb, handler));
  }

  /** Call it with the lock of the service held. A socket that cannot be made keeps no service from running: it is tried again. */
  start(): void {
    void this.#start();
  }

  async #start(): Promise<void> {
    const { service, config, log } = this.#options;
    try {
      const folder = dataFolder(config, CONTROL_FOLDER);
      this.#path = shortSocketPath(folder, controlSocketName(service));
      rmSync(this.#path.path, { force: true });
      await this.#listen(this.#path.path);
    } catch (error) {
      this.#path?.release();
      this.#path = undefined;
      log.warn({ event: 'control_socket_failed', reason: messageOf(error) }, 'hr-gateway commands cannot reach this service yet');
      if (!this.#stopped) this.#retry = setTimeout(() => void this.#start(), RETRY_MS);
    }
  }

  async #listen(path: string): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    server.maxConnections = CONNECTIONS_MAX;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Created for the owner alone, whatever the umask of the process is. `listen` binds before it returns: no other file is affected.
      const umask = process.umask(0o177);
      try {
        server.listen(path, resolve);
      } finally {
        process.umask(umask);
      }
    });
    server.on('error', (error) =>
      this.#options.log.debug({ event: 'control_socket_failed', reason: messageOf(error) }, 'control socket'),
    );
    if (this.#stopped) server.close();
    else this.#server = server;
  }

  #accept(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
    socket.on('error', () => socket.destroy());
    const limit = setTimeout(() => socket.destroy(), REQUEST_LIMIT_MS);
    socket.on('close', () => clearTimeout(limit));
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > CONTROL_MAX_BYTES) return void socket.destroy();
      if (!chunk.includes(0x0a)) return;
      socket.off('data', onData);
      clearTimeout(limit);
      void this.#answer(Buffer.concat(chunks)).then((response) => socket.end(`${JSON.stringify(response)}\n`));
    };
    socket.on('data', onData);
  }

  async #answer(line: Buffer): Promise<ResponseMessage> {
    const request = parseControlRequest(line);
    const id = request.ok ? request.value.id : 'none';
    try {
      if (!request.ok) throw new HrError('command_invalid', { operation: 'read a request', detail: request.reason });
      const { verb, args } = request.value;
      const runner = this.#runners.get(verb);
      if (runner === undefined)
        throw new HrError('command_unknown', { operation: verb, detail: `${this.#options.service} does not know this command` });
      return { id, ok: true, result: await runner(args) };
    } catch (error) {
      const known =
        error instanceof HrError
          ? error
          : new HrError('command_failed', { operation: 'run a command', detail: messageOf(error), cause: error });
      if (known !== error) this.#options.log.warn({ event: 'command_failed', err: error }, 'a command failed');
      return { id, ok: false, error: { code: known.code, message: known.detail.slice(0, 4000), hint: known.hint } };
    }
  }

  /** Call it before the lock is released. What is being answered is cut short. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#open) socket.destroy();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
    this.#path?.release();
    this.#path = undefined;
  }
}
