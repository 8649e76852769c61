/** An attack as a process of its own that gets half of a processor at most, as `CPUQuota=50%` would give it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Attack, Target } from './attack.ts';

/** The attacker runs for this long, and is stopped for as long. */
const QUOTA_MS = 25;
const program = fileURLToPath(new URL('attacker.ts', import.meta.url));

export class AttackerProcess {
  readonly #child: ChildProcess;
  readonly #ready: Promise<void>;
  #quota: NodeJS.Timeout | undefined;

  /** Starts the process, which waits for `attack`. It is killed after the test. */
  constructor(t: Pick<TestContext, 'after'>, { name }: Attack, target: Target) {
    const child = spawn(process.execPath, ['--import', 'tsx', program, name, JSON.stringify(target)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    this.#ready = new Promise((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the attacker ended with ${code}: ${name}`)));
      createInterface({ input: child.stdout }).once('line', () => resolve());
    });
    this.#ready.catch(() => {});
    t.after(() => this.stop());
  }

  /** Waits until the attacker's program is loaded. Rejects if it ends. */
  async ready(): Promise<void> {
    await this.#ready;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  attack(): void {
    this.#child.stdin?.end('\n');
    let isStopped = false;
    this.#quota = setInterval(() => {
      isStopped = !isStopped;
      this.#child.kill(isStopped ? 'SIGSTOP' : 'SIGCONT');
    }, QUOTA_MS);
  }

  stop(): void {
    clearInterval(this.#quota);
    this.#child.kill('SIGKILL');
  }
}
