/** Folders below .cache/ that are made at first use, by whichever test file comes first. */
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A claim that is older was left by a process that was killed. */
const ABANDONED_MS = 15 * 60_000;

function claimed(claim: string): boolean {
  const since = statSync(claim, { throwIfNoEntry: false })?.mtimeMs;
  if (since !== undefined && Date.now() - since > ABANDONED_MS) rmSync(claim, { recursive: true, force: true });
  try {
    mkdirSync(claim);
    return true;
  } catch {
    return false;
  }
}

/**
 * Calls `make` to fill the folder, unless that was done before. Two files may ask at once: the second one waits for the first. If `make`
 * fails, the reason is printed in one line, and the answer is false: the caller then skips, or fails if CI is true.
 */
export async function madeOnce(folder: string, what: string, make: () => Promise<void>): Promise<boolean> {
  const stamp = path.join(folder, 'complete');
  const claim = `${folder}.making`;
  mkdirSync(path.dirname(folder), { recursive: true });
  for (;;) {
    if (existsSync(stamp)) return true;
    if (claimed(claim)) break;
    await sleep(1000);
  }
  try {
    if (existsSync(stamp)) return true;
    rmSync(folder, { recursive: true, force: true });
    await make();
    writeFileSync(`${stamp}.tmp`, '');
    renameSync(`${stamp}.tmp`, stamp);
    return true;
  } catch (error) {
    console.log(`cannot make ${what}: ${reasonOf(error)}`);
    return false;
  } finally {
    rmSync(claim, { recursive: true, force: true });
  }
}

/** The first line that names an error, of what a program printed, or else of its failure. */
function reasonOf(error: unknown): string {
  const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
  const lines = `${stderr}\n${stdout}\n${String(error)}`.split('\n').map((line) => line.trim());
  return lines.find((line) => /error|failed|cannot|could not/i.test(line)) ?? lines.find((line) => line !== '') ?? '';
}
