/** One request to a strap within its timeout. noble has no timeouts, and a request may never settle when its link ends. */
import { RadioError } from '../radio/radio-error.ts';

export class StepTimeout extends Error {
  override readonly name = 'StepTimeout';
}

/** How much longer a step may take if the strap answers slowly, but does. */
const SLOW_FACTOR = 6;

export interface LinkStep {
  /** Names the request in errors. */
  what: string;
  limitMs: number;
  /** When the strap last answered anything (performance.now()): the limit counts from then, up to SLOW_FACTOR times in all. */
  answeredAt?: () => number;
  /** Aborted when the link ends. */
  signal: AbortSignal;
}

/**
 * Rejects with StepTimeout at the limit, with RadioError `link_ended` as soon as the link ends, or with the request's own error. An answer
 * that arrived within the limit counts, although the process was too busy to read it until then.
 */
export async function runStep<T>(
  { what, limitMs, signal, answeredAt = () => -Infinity }: LinkStep,
  request: () => Promise<T>,
): Promise<T> {
  const linkEnded = (): RadioError => new RadioError('link_ended', `${what}: the link has ended`);
  if (signal.aborted) throw linkEnded();
  return await new Promise<T>((resolve, reject) => {
    let soon: NodeJS.Immediate | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      clearImmediate(soon);
      signal.removeEventListener('abort', onEnd);
    };
    const onEnd = (): void => {
      finish();
      reject(linkEnded());
    };
    const startedAt = performance.now();
    // Timers that are late fire before the sockets are read, immediates after.
    const judge = (): void => {
      soon = setImmediate(expired);
    };
    let timer = setTimeout(judge, limitMs);
    function expired(): void {
      const now = performance.now();
      const quietMs = now - Math.max(startedAt, answeredAt());
      if (quietMs < limitMs - 1 && now - startedAt < SLOW_FACTOR * limitMs) {
        timer = setTimeout(judge, limitMs - quietMs);
        return;
      }
      finish();
      reject(new StepTimeout(`${what}: no answer within ${limitMs} ms`));
    }
    signal.addEventListener('abort', onEnd);
    request().then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
