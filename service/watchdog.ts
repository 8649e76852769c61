/**
 * Ends a process whose event loop hangs, so that its supervisor starts it again: Docker restarts what exits, not what is
 * unhealthy (facts.md). A small worker thread watches a counter that the event loop moves.
 */
import { closeSync, openSync, utimesSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Config } from './config.ts';
import type { Logger } from './log.ts';

export interface Watchdog {
  stop(): void;
}

const WATCHER = `
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const beats = new Int32Array(workerData.shared);
let last = Atomics.load(beats, 0);
let since = process.hrtime.bigint();
let lookedAt = since;
setInterval(() => {
  const now = process.hrtime.bigint();
  // A stopped and continued process, or a suspended box: the watcher itself did not run either.
  if (now - lookedAt > 5000000000n) since = now;
  lookedAt = now;
  const beat = Atomics.load(beats, 0);
  if (beat !== last) { last = beat; since = now; return; }
  if (Number(now - since) / 1e6 < workerData.timeoutMs) return;
  writeSync(1, JSON.stringify({ level: 'fatal', time: new Date().toISOString(), service: workerData.service, event: 'watchdog', timeout_ms: workerData.timeoutMs, msg: 'the event loop hangs: ending the process for its supervisor to start it again' }) + '\\n');
  process.kill(process.pid, 'SIGKILL');
}, 500);
`;

const HEARTBEAT_EVERY_MS = 5000;

/** Touches WATCHDOG_HEARTBEAT_FILE for as long as the event loop runs; nothing where none is set. */
export function startHeartbeat(config: Pick<Config, 'WATCHDOG_HEARTBEAT_FILE'>, log: Logger): Watchdog {
  const file = config.WATCHDOG_HEARTBEAT_FILE;
  if (file === undefined) return { stop() {} };
  let failed = false;
  const touch = (): void => {
    try {
      closeSync(openSync(file, 'a'));
      const now = new Date();
      utimesSync(file, now, now);
      failed = false;
    } catch (error) {
      if (!failed) log.warn({ event: 'heartbeat_failed', file, err: error }, 'the heartbeat file cannot be written');
      failed = true;
    }
  };
  touch();
  const timer = setInterval(touch, HEARTBEAT_EVERY_MS);
  return { stop: () => clearInterval(timer) };
}

/** Starts watching; WATCHDOG_TIMEOUT_MS 0 watches nothing. */
export function startWatchdog(config: Pick<Config, 'WATCHDOG_TIMEOUT_MS'>, log: Logger): Watchdog {
  const timeoutMs = config.WATCHDOG_TIMEOUT_MS;
  if (timeoutMs === 0) return { stop() {} };
  const shared = new SharedArrayBuffer(4);
  const beats = new Int32Array(shared);
  const timer = setInterval(() => Atomics.add(beats, 0, 1), 500);
  timer.unref();
  const worker = new Worker(WATCHER, {
    eval: true,
    // The watcher needs next to nothing: a default heap would cost several MB.
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    workerData: { shared, timeoutMs, service: String(log.bindings()['service'] ?? '') },
    stdout: false,
  });
  worker.unref();
  worker.on('error', (error) => log.warn({ event: 'watchdog_failed', err: error }, 'the watchdog ended'));
  return {
    stop() {
      clearInterval(timer);
      void worker.terminate();
    },
  };
}
