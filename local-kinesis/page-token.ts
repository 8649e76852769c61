/** Tokens of lists that do not fit one answer: opaque to clients and valid for 300 seconds, as in Kinesis. */
import { invalidArgument, KinesisError } from './kinesis-error.ts';
import { sealed, unsealed } from './tokens.ts';

const VALID_MS = 300_000;

/** `list`: which list it is of. `values`: where the next page begins. */
export function pageToken(list: string, values: readonly unknown[]): string {
  return sealed(list, [Date.now(), ...values]);
}

/** The values of a token. Throws InvalidArgumentException or ExpiredNextTokenException. */
export function pageOf(list: string, token: string): unknown[] {
  const [madeMs, ...values] = unsealed(list, token) ?? [];
  if (typeof madeMs !== 'number') throw invalidArgument('Invalid NextToken.');
  if (Date.now() - madeMs > VALID_MS)
    throw new KinesisError('ExpiredNextTokenException', `NextToken expired: it was issued at ${new Date(madeMs).toISOString()}.`);
  return values;
}
