/** What the code of a record that failed inside a 200 says about the uplink. */
import type { FailureClass } from '../sink/sink.ts';

export const isThrottling = (code: string): boolean =>
  code === 'ProvisionedThroughputExceededException' || code === 'ThrottlingException' || code === 'KMSThrottlingException';

/** The uplink's state where every record of a request failed. */
export function failureOfRecords(code: string): FailureClass {
  if (code.startsWith('KMS'))
    return {
      state: 'kms_error',
      reason: `kms_error: ${code}`,
      hint: 'The key of the stream cannot be used: check its state and its policy for this user.',
    };
  if (code.startsWith('AccessDenied'))
    return {
      state: 'unauthorized',
      reason: `unauthorized: ${code}`,
      hint: 'Check the policy of the stream and of its key for this user.',
    };
  if (isThrottling(code))
    return {
      state: 'throttled',
      reason: `throttled: ${code}`,
      hint: 'Nothing to do: it is tried again slower. If it lasts, give the stream more shards, or use KINESIS_MODE=aggregated.',
    };
  return { state: 'error', reason: `error: ${code}`, hint: 'The service is in trouble: it is tried again.' };
}
