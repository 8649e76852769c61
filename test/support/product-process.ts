/** Real product processes for tests, with their log lines parsed as JSON. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Arguments with which `node` runs a product module ('forwarder/main', without extension): compiled in `npm test`, else through tsx. */
export function productArgs(module: string): string[] {
  const compiled = path.join(root, 'dist', `${module}.js`);
  if (process.env['HR_TEST_COMPILED'] === 'true' && existsSync(compiled)) return [compiled];
  return ['--import', 'tsx', path.join(root, `${module}.ts`)];
}

export type LogLine = Record<string, unknown>;

export interface ProductProcess {
  child: ChildProcess;
  pid: number;
  /** Everything printed so far on stdout and stderr. */
  output(): string;
  /** JSON log lines so far. */
  lines(): LogLine[];
  /** Waits for a log line with this event. */
  event(name: string, options?: { withinMs?: number }): Promise<LogLine>;
  /** Sends a signal and waits for the process to end. Returns the exit code or the name of the signal. */
  end(signal?: NodeJS.Signals): Promise<number | string>;
  /** Resolves at the end of the process, however it ends. */
  ended: Promise<number | string>;
}

/** Starts a module as a process, killed after the test. Its environment is only what is given, plus PATH and HOME. */
export function startProduct(
  t: Pick<TestContext, 'after'>,
  module: string,
  environment: Record<string, string>,
  options: { args?: string[]; nodeArgs?: string[]; cwd?: string } = {},
): ProductProcess {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), ...productArgs(module), ...(options.args ?? [])], {
    cwd: options.cwd ?? root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      LOG_PRETTY: 'false',
      AWS_EC2_METADATA_DISABLED: 'true',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const lines: LogLine[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => {
      output += `${line}\n`;
      if (!line.startsWith('{')) return;
      try {
        lines.push(JSON.parse(line) as LogLine);
      } catch {
        // Not a log line.
      }
    });
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown')),
  );
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  t.after(async () => {
    if (running()) child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    pid: child.pid ?? -1,
    output: () => output,
    lines: () => lines,
    ended,
    async event(name, { withinMs = 60_000 } = {}) {
      return await eventually(
        () => {
          const line = lines.find((candidate) => candidate['event'] === name);
          if (line === undefined && !running()) throw new Error(`ended before ${name}:\n${output}`);
          return line;
        },
        { withinMs, what: `event ${name} of ${module}` },
      );
    },
    async end(signal = 'SIGTERM') {
      if (running()) child.kill(signal);
      return await ended;
    },
  };
}
