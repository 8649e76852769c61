/** Starts sibling modules in worker threads and child processes, whether the product runs from TypeScript (tsx) or compiled. */
import { fileURLToPath } from 'node:url';
import { setEnvironmentData, Worker, type WorkerOptions } from 'node:worker_threads';
import { BEAT_EVERY_INDEX, beatMemory, takeSlot, THREAD_IDS_INDEX } from './beats.ts';

const BEATS = 'hr-gateway-beats';

/** The module next to `metaUrl`: `siblingModule(import.meta.url, './queue-worker')`. */
export function siblingModule(metaUrl: string, name: string): URL {
  return new URL(metaUrl.endsWith('.ts') ? `${name}.ts` : `${name}.js`, metaUrl);
}

/** The arguments with which `node` runs a module as a separate process. */
export function nodeArgsFor(module: URL): string[] {
  const path = fileURLToPath(module);
  return path.endsWith('.ts') ? ['--import', import.meta.resolve('tsx'), path] : [path];
}

/** Code that runs in the worker before its module: the heartbeat for the watchdog (beats.ts). */
function beatCode(slot: number): string {
  const beat = `const beats = new Int32Array(threads.getEnvironmentData(${JSON.stringify(BEATS)}));`;
  const timer = `setInterval(() => Atomics.add(beats, ${slot}, 1), beats[${BEAT_EVERY_INDEX}]).unref();`;
  // By this id the watchdog finds what the thread has read and written; there is none without Linux.
  const id = "try { return Number(readlinkSync('/proc/thread-self').split('/').at(-1)); } catch { return 0; }";
  const store = `Atomics.store(beats, ${THREAD_IDS_INDEX + slot}, (() => { ${id} })());`;
  return `import threads from 'node:worker_threads'; import { readlinkSync } from 'node:fs'; ${beat} ${store} ${timer}`;
}

/** Runs a sibling module in a worker thread. The watchdog watches it until it exits. */
export function startWorker(metaUrl: string, name: string, options: WorkerOptions = {}): Worker {
  const module = siblingModule(metaUrl, name);
  const slot = takeSlot(name.replace(/^.*\//, '').replaceAll('-', ' '));
  setEnvironmentData(BEATS, beatMemory.counters);
  // In Node 20 a worker does not inherit `--import tsx`: it registers the loader itself before it imports the module.
  const loader = module.pathname.endsWith('.ts')
    ? `import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))}; register();`
    : '';
  const code = `${slot.index === undefined ? '' : beatCode(slot.index)} ${loader} await import(${JSON.stringify(module.href)});`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), options);
  // Without the kernel's count of reads and writes, a long start cannot be told from a hang: it is watched once it has reported.
  if (process.platform === 'linux') slot.watch();
  else worker.once('message', () => slot.watch());
  worker.once('exit', () => slot.release());
  return worker;
}
