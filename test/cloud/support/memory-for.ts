import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Resident memory of a process of its own, in MiB, after it verified this many seqs of a run, shuffled within each 100,000, one of so many
 * of them lost.
 */
export async function memoryFor(seqs: number, lostEvery: number): Promise<number> {
  const script = fileURLToPath(new URL('verify-memory.ts', import.meta.url));
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ['--import', 'tsx', '--expose-gc', script, String(seqs), String(lostEvery)], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
  return Number(output);
}
