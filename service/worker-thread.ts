/**
 * Starts sibling modules in worker threads and child processes, whether the product runs from TypeScript (tsx) or compiled.
 */
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** The module beside `metaUrl`: `siblingModule(import.meta.url, './queue-worker')`. */
export function siblingModule(metaUrl: string, name: string): URL {
  return new URL(metaUrl.endsWith('.ts') ? `${name}.ts` : `${name}.js`, metaUrl);
}

/** Arguments for `node` to run a module in a process of its own. */
export function nodeArgsFor(module: URL): string[] {
  const path = fileURLToPath(module);
  return path.endsWith('.ts') ? ['--import', 'tsx', path] : [path];
}

/** Runs a sibling module in a worker thread. */
export function startWorker(metaUrl: string, name: string, options: WorkerOptions = {}): Worker {
  const module = siblingModule(metaUrl, name);
  if (!module.pathname.endsWith('.ts')) return new Worker(module, options);
  // A worker does not take `--import tsx` over in Node 20: it registers the loader itself before it imports the module.
  const loader = `import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))}; register(); await import(${JSON.stringify(module.href)});`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(loader)}`), options);
}
