import { maskSecrets } from '../secrets/mask.ts';
import { ERRORS, type ErrorCode } from './error-catalogue.ts';

export type { ErrorCode } from './error-catalogue.ts';

export interface HrErrorOptions {
  /** What was being done: "open the queue". */
  operation: string;
  /** What was found, for a person. */
  detail: string;
  cause?: unknown;
  /** Replaces the catalogue's hint if the caller has a more precise one. */
  hint?: string;
}

/**
 * An error of the product: coded, with operation, cause, hint, and whether a retry can help (service/errors/error-catalogue.ts).
 * Credentials in its texts are masked; `cause` is as it was thrown.
 */
export class HrError extends Error {
  override readonly name = 'HrError';
  readonly code: ErrorCode;
  readonly operation: string;
  readonly detail: string;
  readonly hint: string;
  readonly retryable: boolean;

  constructor(code: ErrorCode, options: HrErrorOptions) {
    const operation = maskSecrets(options.operation);
    const detail = maskSecrets(options.detail);
    super(`${code}: ${operation}: ${detail}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.operation = operation;
    this.detail = detail;
    this.hint = options.hint ?? ERRORS[code].hint;
    this.retryable = ERRORS[code].retryable;
  }
}

/** Type guard for a code that another process sent. */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system's error code (`ENOSPC`, `EADDRINUSE`) of anything thrown, or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A listen error as a coded one; `setting` names the variable that chooses the port. */
export function listenError(error: unknown, setting: string, address: string): unknown {
  if (systemCodeOf(error) !== 'EADDRINUSE') return error;
  return new HrError('port_in_use', { operation: 'listen', detail: `${address} is taken (${setting})`, cause: error });
}
