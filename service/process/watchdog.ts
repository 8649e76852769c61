/**
 * Kills a process whose event loop or worker thread hangs, so that its supervisor restarts it: Docker restarts a container that exits, not
 * one that is unhealthy. A small separate thread watches the counters that all threads increment (beats.ts).
 */
import { closeSync, openSync, utimesSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { beatMemory, setBeatEvery, takeSlot, THREAD_IDS_INDEX } from './beats.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../log/log.ts';

export interface Watchdog {
  stop(): void;
}

const WATCHER = `
const { workerData, Worker } = require('node:worker_threads');
const { spawnSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { memory, threadIdsIndex, timeoutMs, beatEveryMs, service, writer } = workerData;
const counters = new Int32Array(memory.counters);
const names = Buffer.from(memory.names);
const seen = Array.from({ length: memory.slots }, () => ({ beat: 0, io: '', since: process.hrtime.bigint() }));
// What the thread has read and written so far, or, in a kernel that does not count that, its CPU time. Procfs answers from memory,
// whatever becomes of disks.
function ioOf(slot) {
  const id = Atomics.load(counters, threadIdsIndex + slot);
  for (const name of ['io', 'schedstat'])
    try {
      if (id !== 0) return readFileSync('/proc/self/task/' + id + '/' + name, 'latin1');
    } catch {}
  return '';
}
let checkedAt = process.hrtime.bigint();
setInterval(() => {
  const now = process.hrtime.bigint();
  // The process was stopped and continued, or the box was suspended: the watcher did not run either.
  const slept = Number(now - checkedAt) / 1e6 > 2 * beatEveryMs + 4000;
  checkedAt = now;
  for (const [slot, last] of seen.entries()) {
    const beat = Atomics.load(counters, slot);
    if (slept || beat !== last.beat || Atomics.load(counters, memory.slots + slot) === 0) {
      seen[slot] = { beat, io: '', since: now };
      continue;
    }
    if (Number(now - last.since) / 1e6 < timeoutMs / 2) continue;
    const io = ioOf(slot);
    if (io !== last.io) {
      // In one long call, but not hung. The first look has nothing to compare with.
      seen[slot] = { beat, io, since: last.io === '' ? last.since : now };
      continue;
    }
    if (Number(now - last.since) / 1e6 < timeoutMs) continue;
    const thread = names.subarray(slot * memory.nameBytes, (slot + 1) * memory.nameBytes).toString().replaceAll('\\0', '');
    const msg = 'the ' + thread + ' hangs: killing the process, so that its supervisor restarts it';
    const line = { level: 'fatal', time: new Date().toISOString(), service, event: 'watchdog', thread, timeout_ms: timeoutMs, msg };
    // Standard output may hang, too, so another thread writes. On a starved machine it takes seconds to start. Whatever becomes of it, the
    // process is killed.
    const progress = new Int32Array(new SharedArrayBuffer(4));
    try {
      new Worker(writer, { eval: true, workerData: { text: JSON.stringify(line) + '\\n', progress } });
      Atomics.wait(progress, 0, 0, 20_000);
      Atomics.wait(progress, 0, 1, 2000);
    } catch {}
    process.kill(process.pid, 'SIGKILL');
    // Still running: the first process of a container cannot be killed from inside (pid_namespaces(7)), but the kernel kills it at a CPU
    // time limit.
    spawnSync('prlimit', ['--pid', String(process.pid), '--cpu=1:1']);
    for (;;);
  }
}, beatEveryMs);
`;

/** `progress`: 0 not started, 1 writing, 2 written. */
const WRITER = `
const { text, progress } = require('node:worker_threads').workerData;
const reaches = (step) => {
  Atomics.store(progress, 0, step);
  Atomics.notify(progress, 0);
};
reaches(1);
try {
  require('node:fs').writeSync(1, text);
} finally {
  reaches(2);
}
`;

const HEARTBEAT_EVERY_MS = 5000;

/** Touches WATCHDOG_HEARTBEAT_FILE every 5 s while the event loop runs. Does nothing if it is not set. */
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
      if (!failed) log.warn({ event: 'heartbeat_failed', file, err: error }, 'cannot write the heartbeat file');
      failed = true;
    }
  };
  touch();
  const timer = setInterval(touch, HEARTBEAT_EVERY_MS);
  return { stop: () => clearInterval(timer) };
}

/** Starts watching the threads of this process. Does nothing if WATCHDOG_TIMEOUT_MS is 0. */
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
    // The watcher needs hardly any memory; the default heap would cost several MB.
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    workerData: {
      memory: beatMemory,
      threadIdsIndex: THREAD_IDS_INDEX,
      timeoutMs,
      beatEveryMs,
      service: String(log.bindings()['service'] ?? ''),
      writer: WRITER,
    },
    stdout: false,
  });
  worker.unref();
  worker.on('error', (error) =>
    log.warn({ event: 'watchdog_failed', err: error }, 'the watchdog thread failed: hangs are no longer detected'),
  );
  return {
    stop() {
      clearInterval(timer);
      slot.release();
      void worker.terminate();
    },
  };
}
