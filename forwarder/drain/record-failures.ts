/** What the error code of a record that failed inside a 200 means for the uplink. */
import type { FailureClass } from '../sink/sink.ts';

export const isThrottling = (code: string): boolean =>
  code === 'ProvisionedThroughputExceededException' || code === 'ThrottlingException' || code === 'KMSThrottlingException';

/** The failure if every record of a request failed; `key`: the partition key of the first one. */
export function failureOfRecords(code: string, key: string): FailureClass {
  const failure = failureOf(code);
  return { ...failure, detail: `${code}, partition key ${shownKey(key)}` };
}

/** A partition key as it is shown to people: its beginning, in quotation marks. */
export const shownKey = (key: string): string => JSON.stringify(key.slice(0, 64));

function failureOf(code: string): Omit<FailureClass, 'detail'> {
  if (code.startsWith('KMS'))
    return {
      state: 'kms_error',
      hint: 'The key of the stream cannot be used: check its state and its policy for this user.',
    };
  if (code.startsWith('AccessDenied'))
    return { state: 'unauthorized', hint: 'Check the policy of the stream and of its key for this user.' };
  if (isThrottling(code))
    return {
      state: 'throttled',
      hint: 'Nothing to do: retried at a lower rate. If it persists, add shards to the stream, or use KINESIS_MODE=aggregated.',
    };
  return { state: 'error', hint: 'The service has a problem: retrying.' };
}
