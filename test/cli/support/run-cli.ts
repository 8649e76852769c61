/** `hr-gateway` as a process, with nothing but the given environment. */
import { spawn } from 'node:child_process';
import { productArgs } from '../../support/product-process.ts';

export interface CliResult {
  code: number | string;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  environment?: Record<string, string>;
  cwd?: string;
  /** Standard input, with a line break; none if left out. */
  input?: string;
  /** JavaScript that runs before the command, in the same process. */
  before?: string;
  /** Arguments for `node` in front of the command's own: the product as `npm test` runs it if not given. */
  entry?: readonly string[];
}

/** Arguments for `node` that run the command from any working directory: compiled in `npm test`, otherwise by tsx. */
export const productEntry = (): string[] =>
  productArgs('cli/main').map((arg) => (arg === 'tsx' ? import.meta.resolve('tsx') : arg));

/** The environment of a command in tests. */
export function cliEnvironment({ environment = {}, before }: CliOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    AWS_EC2_METADATA_DISABLED: 'true',
    ...(before === undefined ? {} : { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(before)}` }),
    ...environment,
  };
}

/** Runs a command to its end. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [...(options.entry ?? productEntry()), ...args], {
    cwd: options.cwd,
    env: cliEnvironment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input === undefined ? '' : `${options.input}\n`);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return await new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'unknown', stdout, stderr })),
  );
}
