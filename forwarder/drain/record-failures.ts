/** What the error code of a record that failed inside a 200 means for the uplink. */
import type { FailureClass } from '../sink/sink.ts';

export const isThrottling = (code: string): boolean =>
  code === 'ProvisionedThroughputExceededException' || code === 'ThrottlingException' || code === 'KMSThrottlingException';

/** The failure if every record of a request failed. */
export function failureOfRecords(code: string): FailureClass {
  if (code.startsWith('KMS'))
    return {
      state: 'kms_error',
      detail: code,
      hint: 'The key of the stream cannot be used: check its state and its policy for this user.',
    };
  if (code.startsWith('AccessDenied'))
    return { state: 'unauthorized', detail: code, hint: 'Check the policy of the stream and of its key for this user.' };
  if (isThrottling(code))
    return {
      state: 'throttled',
      detail: code,
      hint: 'Nothing to do: retried at a lower rate. If it persists, add shards to the stream, or use KINESIS_MODE=aggregated.',
    };
  return { state: 'error', detail: code, hint: 'The service has a problem: retrying.' };
}
