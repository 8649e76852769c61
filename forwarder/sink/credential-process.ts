/**
 * Runs the programs of `credential_process`. The SDK runs them without a time limit, and of one that fails or prints something else it
 * keeps only the command line. Here a program is ended after a time limit, and its error says what it wrote to stderr. The SDK has a
 * place for this (`externalDataInterceptor`, an export of its configuration reader), also for profiles that other profiles use.
 */
import { exec, type ExecException } from 'node:child_process';
import { externalDataInterceptor } from '@smithy/core/config';
import { maskSecrets } from '../../service/secrets/mask.ts';

export const PROCESS_LIMIT_MS = 20_000;
const OUTPUT_MAX_BYTES = 64 * 1024;
const STDERR_MAX_LENGTH = 300;
/** A shell's exit codes: not executable, not found. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

export class CredentialProcessFailed extends Error {
  override readonly name = 'CredentialProcessFailed';
}

/** The program of a command line, without its arguments, which may be secret. */
function programOf(command: string): string {
  const [, quoted, plain = ''] = /^\s*(?:"([^"]+)"|(\S+))/.exec(command) ?? [];
  return quoted ?? plain;
}

function lastWords(stderr: string): string {
  const text = maskSecrets(stderr).replaceAll(/\s+/g, ' ').trim();
  return text === '' ? '' : `: ${text.slice(-STDERR_MAX_LENGTH)}`;
}

function reasonOf(error: ExecException, program: string, limitMs: number): string {
  if (error.killed === true) return `${program} did not end within ${limitMs / 1000} s`;
  if (error.code === NOT_FOUND) return `${program} was not found`;
  if (error.code === NOT_EXECUTABLE) return `${program} cannot be executed`;
  return `${program} ended with exit code ${error.code ?? error.signal ?? 'unknown'}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

type Callback = (error: Error | null, output?: { stdout: string; stderr: string }) => void;

/** Runs a command as the SDK would, by a shell; the callback gets its output, or an error that names the program and its last words. */
export function runCredentialProcess(command: string, callback: Callback, limitMs = PROCESS_LIMIT_MS): void {
  const program = programOf(command);
  exec(
    command,
    { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: OUTPUT_MAX_BYTES, encoding: 'utf8' },
    (error, stdout, stderr) => {
      const failed = (reason: string): void =>
        callback(new CredentialProcessFailed(`credential_process: ${reason}${lastWords(stderr)}`));
      if (error !== null) failed(reasonOf(error, program, limitMs));
      else if (!isJson(stdout.trim())) failed(`${program} did not print credentials (JSON)`);
      else callback(null, { stdout, stderr });
    },
  );
}

/** From now on the SDK's providers run their programs by this module. */
export function useCredentialProcess(): void {
  externalDataInterceptor.interceptToken('exec', runCredentialProcess);
}
