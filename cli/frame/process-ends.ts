/**
 * How the process of a command ends when the command itself does not end it: by a signal, by a reader that closed the pipe
 * (`hr-gateway tail | head -1`), or by an error that nothing caught. Commands clean up in `process.once('exit', …)`.
 */
import { systemCodeOf } from '../../service/errors/errors.ts';
import { EXIT_CODES, SIGNAL_EXIT_CODES } from './exit-codes.ts';

type Signal = keyof typeof SIGNAL_EXIT_CODES;

export class ProcessEnds {
  readonly #fail: (error: unknown) => void;

  /** `fail` reports an error that nothing caught and ends the process. */
  constructor(fail: (error: unknown) => void) {
    this.#fail = fail;
  }

  install(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#onSignal);
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, this.#fail);
    for (const stream of [process.stdout, process.stderr]) stream.on('error', this.#onOutputError);
  }

  /** For a command that ends its process in its own way. */
  remove(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#onSignal);
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.off(event, this.#fail);
    for (const stream of [process.stdout, process.stderr]) stream.off('error', this.#onOutputError);
  }

  readonly #onSignal = (signal: Signal): void => {
    process.exit(SIGNAL_EXIT_CODES[signal]);
  };

  readonly #onOutputError = (error: unknown): void => {
    // Nobody reads the output any more: that is how `| head` ends its writer, and no failure.
    if (systemCodeOf(error) === 'EPIPE') process.exit(process.exitCode ?? EXIT_CODES.ok);
    this.#fail(error);
  };
}
