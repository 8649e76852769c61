/** Processes of a benchmark: the compiled product, and helpers that print JSON lines on stdout. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Scratch } from './scratch.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export type Line = Record<string, unknown>;

/** Killed when the benchmark ends, for whatever reason. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));

export interface Child {
  pid: number;
  process: ChildProcess;
  /** Everything that the process printed. */
  output(): string;
  /** Waits for a JSON line that matches. */
  line(matches: (line: Line) => boolean, withinMs?: number): Promise<Line>;
  /** Sends a line on stdin. */
  say(line: Line): void;
  /** Sends the signal (default SIGTERM) and waits for the process to end. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** Compiles the product: benchmarks measure what users run. */
export function compile(): void {
  for (const args of [['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], ['tools/copy-assets.mjs']]) {
    const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (result.status !== 0) process.exit(result.status ?? 1);
  }
}

function started(
  scratch: Scratch,
  name: string,
  command: string,
  args: readonly string[],
  environment: Record<string, string>,
): Child {
  const child = spawn(command, args, {
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      TMPDIR: process.env['TMPDIR'],
      AWS_EC2_METADATA_DISABLED: 'true',
      ...environment,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (text) => {
      output = `${output.slice(-200_000)}${text}\n`;
      if (!text.startsWith('{')) return;
      lines.push(JSON.parse(text) as Line);
      for (const check of waiting) check();
    });
  running.add(child);
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => {
      running.delete(child);
      resolve();
    }),
  );
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const limit = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(limit);
  };
  // A CPU profile is written on an orderly exit only.
  scratch.after(async () => await end(profiling().length > 0 ? 'SIGTERM' : 'SIGKILL'));
  return {
    pid: child.pid ?? -1,
    process: child,
    output: () => output,
    say: (line) => child.stdin.write(`${JSON.stringify(line)}\n`),
    end,
    line: async (matches, withinMs = 60_000) =>
      await new Promise<Line>((resolve, reject) => {
        const done = (act: () => void): void => {
          clearTimeout(limit);
          waiting.delete(check);
          act();
        };
        const check = (): void => {
          const found = lines.find(matches);
          if (found !== undefined) done(() => resolve(found));
        };
        const limit = setTimeout(
          () => done(() => reject(new Error(`${name}: no matching line within ${withinMs} ms\n${output.slice(-2000)}`))),
          withinMs,
        );
        child.once('exit', () => done(() => reject(new Error(`${name} ended\n${output.slice(-2000)}`))));
        waiting.add(check);
        check();
      }),
  };
}

/** If `BENCH_CPU_PROF` names a folder, processes of the product write a CPU profile there on exit. */
function profiling(): string[] {
  const folder = process.env['BENCH_CPU_PROF'];
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`];
}

/**
 * Starts a module of the compiled product: `forwarder/main`, or `start` with the options of `npm start`. The environment contains only
 * what is given here.
 */
export function startProduct(scratch: Scratch, module: string, environment: Record<string, string>): Child {
  return started(
    scratch,
    module,
    process.execPath,
    [...(module === 'start' ? ['--v8-pool-size=1'] : []), ...profiling(), path.join(root, 'dist', `${module}.js`)],
    { LOG_PRETTY: 'false', LOG_LEVEL: 'info', WATCHDOG_TIMEOUT_MS: '0', ...environment },
  );
}

/** Starts a TypeScript module of bench/ in a separate process. */
export function startHelper(scratch: Scratch, module: string, environment: Record<string, string> = {}): Child {
  return started(scratch, module, process.execPath, ['--import', 'tsx', path.join(root, 'bench', module)], environment);
}

/** Starts any program. */
export function startProgram(
  scratch: Scratch,
  program: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Child {
  return started(scratch, program, program, args, environment);
}

/** Whether a program is installed. */
export function hasProgram(program: string): boolean {
  return (
    spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` } })
      .status === 0
  );
}
