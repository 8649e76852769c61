/** Another process that uses the queue's file with SQLite, as a shell or a backup script of the user may do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export interface OtherProcess {
  pid: number;
  end(): Promise<void>;
}

const script = fileURLToPath(new URL('hold-file.ts', import.meta.url));

/** Starts a process that holds a write lock on the file, or reads its present state, until it ends. */
export async function otherProcess(t: TestContext, holds: 'lock' | 'read', file: string): Promise<OtherProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, holds, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? 0,
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
