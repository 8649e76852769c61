/** How a failed command reports its error: one line and a hint, and a stack trace only on request. */
import { HrError, messageOf } from '../../service/errors/errors.ts';
import { maskSecrets } from '../../service/secrets/mask.ts';
import { EXIT_CODES, type ExitCode } from './exit-codes.ts';

/** A failure that a command expects and that has no code in the catalogue: "user anna does not exist". */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
}

const onOneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, ' ');

function linesOf(error: unknown, verbose: boolean): string[] {
  if (error instanceof HrError && error.code === 'config_invalid')
    return [
      `${error.code}: ${error.operation}:`,
      ...error.detail.split('; ').map((fault) => `  ${fault}`),
      `hint: ${error.hint}`,
    ];
  if (error instanceof HrError) return [onOneLine(error.message), `hint: ${error.hint}`];
  if (error instanceof CommandFailure) return [`hr-gateway: ${onOneLine(error.message)}`];
  const advice = verbose ? '' : ' (--verbose or LOG_LEVEL=debug shows the stack trace)';
  return [`hr-gateway: unexpected error: ${onOneLine(messageOf(error)) || 'without a message'}${advice}`];
}

/** The text for stderr, without a final line break. `verbose` adds the stack trace, with the stack traces of the causes. */
export function failureText(error: unknown, { verbose }: { verbose: boolean }): string {
  const lines = linesOf(error, verbose);
  if (verbose) for (let cause = error; cause instanceof Error; cause = cause.cause) lines.push(cause.stack ?? cause.message);
  // Hints are ours, and some name a header.
  return lines.map((line) => (line.startsWith('hint: ') ? line : maskSecrets(line))).join('\n');
}

/** 2 for a faulty setting, 1 for everything else. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof HrError && error.code === 'config_invalid' ? EXIT_CODES.usage : EXIT_CODES.failed;
}
