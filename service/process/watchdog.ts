/**
 * Ends a process whose event loop or worker thread hangs, so that its supervisor starts it again: Docker restarts what exits, not what is
 * unhealthy (facts.md). A small thread of its own watches the counters that they move (beats.ts).
 */
import { closeSync, openSync, utimesSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { beatMemory, setBeatEvery, takeSlot } from './beats.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../log/log.ts';

export interface Watchdog {
  stop(): void;
}

const WATCHER = `
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const { spawnSync } = require('node:child_process');
const { memory, timeoutMs, beatEveryMs, service } = workerData;
const counters = new Int32Array(memory.counters);
const names = Buffer.from(memory.names);
const seen = Array.from({ length: memory.slots }, () => ({ beat: 0, since: process.hrtime.bigint() }));
let lookedAt = process.hrtime.bigint();
setInterval(() => {
  const now = process.hrtime.bigint();
  // A stopped and continued process, or a suspended box: the watcher itself did not run either.
  const slept = Number(now - lookedAt) / 1e6 > 2 * beatEveryMs + 4000;
  lookedAt = now;
  for (const [slot, last] of seen.entries()) {
    const beat = Atomics.load(counters, slot);
    if (slept || beat !== last.beat || Atomics.load(counters, memory.slots + slot) === 0) {
      seen[slot] = { beat, since: now };
      continue;
    }
    if (Number(now - last.since) / 1e6 < timeoutMs) continue;
    const thread = names.subarray(slot * memory.nameBytes, (slot + 1) * memory.nameBytes).toString().replaceAll('\\0', '');
    writeSync(1, JSON.stringify({ level: 'fatal', time: new Date().toISOString(), service, event: 'watchdog', thread, timeout_ms: timeoutMs, msg: 'the ' + thread + ' hangs: ending the process for its supervisor to start it again' }) + '\\n');
    process.kill(process.pid, 'SIGKILL');
    // Still here: the first process of a container cannot be killed from inside (pid_namespaces(7)), but the kernel itself ends it at its limit of CPU time.
    spawnSync('prlimit', ['--pid', String(process.pid), '--cpu=1:1']);
    for (;;);
  }
}, beatEveryMs);
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
  const slot = takeSlot('event loop');
  const beatEveryMs = setBeatEvery(timeoutMs);
  const timer = setInterval(() => slot.beat(), beatEveryMs);
  timer.unref();
  slot.watch();
  const worker = new Worker(WATCHER, {
    eval: true,
    // The watcher needs next to nothing: a default heap would cost several MB.
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    workerData: { memory: beatMemory, timeoutMs, beatEveryMs, service: String(log.bindings()['service'] ?? '') },
    stdout: false,
  });
  worker.unref();
  worker.on('error', (error) => log.warn({ event: 'watchdog_failed', err: error }, 'the watchdog ended'));
  return {
    stop() {
      clearInterval(timer);
      slot.release();
      void worker.terminate();
    },
  };
}
