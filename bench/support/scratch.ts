/** Processes and folders of one run: stopped and removed after the run, and when the benchmark is interrupted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

type Cleanup = () => void | Promise<void>;

export class Scratch {
  readonly #cleanups: Cleanup[] = [];

  after(cleanup: Cleanup): void {
    this.#cleanups.push(cleanup);
  }

  /** Creates a folder below the system's folder for temporary files. */
  folder(): string {
    const folder = mkdtempSync(path.join(tmpdir(), 'hr-gateway-bench-'));
    this.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
    return folder;
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }
}

/** Runs `work` with its own scratch, and cleans up after it. */
export async function withScratch<T>(work: (scratch: Scratch) => Promise<T>): Promise<T> {
  const scratch = new Scratch();
  try {
    return await work(scratch);
  } finally {
    await scratch.end();
  }
}
