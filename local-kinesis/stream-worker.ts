/** The thread that owns the stream's file and its HTTP server: a slow disk never blocks MQTT, BLE or the admin API. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import { isDiskFull } from '../service/storage/disk-full.ts';
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
const DISK_FULL = 'the disk is full: the local stream waits for space';
const port = parentPort;
if (port === null) throw new Error('stream-worker runs as a worker thread only');
const data = workerData as StreamWorkerData;
const post = (message: StreamWorkerMessage): void => port.postMessage(message);

let isOpen = false;
let limitedAtMs = Number.NEGATIVE_INFINITY;
const store = new Store(data.file);
const faults = new Faults();
const operations = new Operations({ store, commit: new GroupCommit(store), faults, enforceLimits: data.enforceLimits });
const server = new StreamServer({
  hosts: [data.host, ...data.allowedHosts],
  operations,
  faults,
  faultHooks: data.faultHooks,
  unavailable: () => (isOpen ? undefined : DISK_FULL),
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

/** Opens the store. False if its disk is full: until there is space, requests are answered with InternalFailure. */
function openStore(): boolean {
  try {
    store.open();
    if (!store.hasStream(data.stream)) store.createStream(data.stream, 1);
    store.trim(momentNow());
    return true;
  } catch (error) {
    if (!isDiskFull(error, data.file)) throw error;
    store.close();
    return false;
  }
}

try {
  await server.listen(data.host, data.port);
  isOpen = openStore();
  const opening = setInterval(() => {
    if (isOpen) return clearInterval(opening);
    try {
      isOpen = openStore();
    } catch (error) {
      post({ kind: 'error', message: messageOf(error) });
    }
  }, OPEN_AGAIN_MS);
  const trim = setInterval(() => {
    if (!isOpen) return;
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
  if (!isOpen) post({ kind: 'error', message: DISK_FULL });
  trimMemoryAfterStart();
} catch (error) {
  store.close();
  post({ kind: 'failed', code: systemCodeOf(error), message: messageOf(error) });
}
