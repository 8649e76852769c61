/** The thread that owns the stream's file and its HTTP server: a slow disk never blocks MQTT, BLE or the admin API. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import { isDiskFull } from '../service/storage/disk-full.ts';
import { isPassing } from '../service/storage/passing-errors.ts';
import { trimMemoryAfterStart } from '../service/process/memory-trim.ts';
import { Faults } from './faults.ts';
import { GroupCommit } from './group-commit.ts';
import { Operations } from './operations.ts';
import { momentNow } from './retention.ts';
import { StreamServer } from './server.ts';
import { Store } from './store.ts';

export interface StreamWorkerData {
  file: string;
  host: string;
  port: number;
  stream: string;
  enforceLimits: boolean;
  faultHooks: boolean;
  /** Host names that it answers to, besides localhost and addresses. */
  allowedHosts: readonly string[];
}
export type StreamWorkerMessage =
  | { kind: 'listening'; port: number }
  | { kind: 'failed'; code: string | undefined; message: string }
  | { kind: 'error'; message: string }
  /** A client opened more connections, or sent more unfinished bodies, than one may; `client` is its address. */
  | { kind: 'limited'; client: string; what: 'connections' | 'bodies' }
  | { kind: 'stopped' };

const TRIM_EVERY_MS = 60_000;
const OPEN_AGAIN_MS = 1000;
const port = parentPort;
if (port === null) throw new Error('stream-worker runs as a worker thread only');
const data = workerData as StreamWorkerData;
const post = (message: StreamWorkerMessage): void => port.postMessage(message);

/** Why requests are not answered; undefined once the file is open. */
let waitsBecause: string | undefined = 'the file of the local stream is not open yet';
let limitedAtMs = Number.NEGATIVE_INFINITY;
const store = new Store(data.file);
const faults = new Faults();
const operations = new Operations({ store, commit: new GroupCommit(store), faults, enforceLimits: data.enforceLimits });
const server = new StreamServer({
  hosts: [data.host, ...data.allowedHosts],
  operations,
  faults,
  faultHooks: data.faultHooks,
  unavailable: () => waitsBecause,
  onError: (error) => post({ kind: 'error', message: messageOf(error) }),
  onLimited: reportLimited,
});

/** Once a second at most: a flood of connections must not become a flood of messages. */
function reportLimited(client: string, what: 'connections' | 'bodies'): void {
  const nowMs = performance.now();
  if (nowMs - limitedAtMs < 1000) return;
  limitedAtMs = nowMs;
  post({ kind: 'limited', client, what });
}

/**
 * Opens the store. If its disk is full, or does not let it be opened now, returns why: it is tried again, and until then requests are
 * answered with InternalFailure. Throws what no retry can cure, such as a file of a newer version.
 */
function openStore(): string | undefined {
  try {
    store.open();
    if (!store.hasStream(data.stream)) store.createStream(data.stream, 1);
    store.trim(momentNow());
    return undefined;
  } catch (error) {
    const isFull = isDiskFull(error, data.file);
    if (!isFull && !isPassing(error)) throw error;
    store.close();
    return isFull
      ? 'the disk is full: the local stream waits for space'
      : `the disk does not let the local stream open its file, which is tried again: ${messageOf(error)}`;
  }
}

try {
  await server.listen(data.host, data.port);
  waitsBecause = openStore();
  const opening = setInterval(() => {
    if (waitsBecause === undefined) return clearInterval(opening);
    try {
      waitsBecause = openStore();
    } catch (error) {
      post({ kind: 'error', message: messageOf(error) });
    }
  }, OPEN_AGAIN_MS);
  const trim = setInterval(() => {
    if (waitsBecause !== undefined) return;
    try {
      store.trim(momentNow());
    } catch (error) {
      post({ kind: 'error', message: messageOf(error) });
    }
  }, TRIM_EVERY_MS);
  port.once('message', () => {
    clearInterval(trim);
    clearInterval(opening);
    void server.close().then(() => {
      store.close();
      post({ kind: 'stopped' });
      port.close();
    });
  });
  post({ kind: 'listening', port: server.port });
  if (waitsBecause !== undefined) post({ kind: 'error', message: waitsBecause });
  trimMemoryAfterStart();
} catch (error) {
  store.close();
  post({ kind: 'failed', code: systemCodeOf(error), message: messageOf(error) });
}
