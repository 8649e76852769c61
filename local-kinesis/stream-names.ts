/** How requests name a stream: by name, by ARN, or by both. */
import { ACCOUNT, invalidArgument, KinesisError } from './kinesis-error.ts';
import type { Store, StreamRow } from './store.ts';

const ARN_PREFIX = `arn:aws:kinesis:us-east-1:${ACCOUNT}:stream/`;

export const arnOf = (name: string): string => `${ARN_PREFIX}${name}`;

/** The name in a stream's ARN. Throws ResourceNotFoundException for an ARN of another account, region or partition. */
export function nameOfArn(arn: string): string {
  if (!arn.startsWith(ARN_PREFIX))
    throw new KinesisError(
      'ResourceNotFoundException',
      `${arn} is not a stream of this endpoint: its ARNs begin with ${ARN_PREFIX}.`,
    );
  return arn.slice(ARN_PREFIX.length);
}

/** The stream of a request. Throws InvalidArgumentException or ResourceNotFoundException. */
export function streamOf(
  store: Store,
  { StreamName, StreamARN }: { readonly StreamName?: string | undefined; readonly StreamARN?: string | undefined },
): StreamRow {
  const named = StreamARN === undefined ? undefined : nameOfArn(StreamARN);
  if (StreamName !== undefined && named !== undefined && StreamName !== named)
    throw invalidArgument(`StreamName ${StreamName} and StreamARN ${StreamARN ?? ''} do not name the same stream.`);
  const name = StreamName ?? named;
  if (name === undefined) throw invalidArgument('StreamName or StreamARN must be specified.');
  return store.stream(name);
}
