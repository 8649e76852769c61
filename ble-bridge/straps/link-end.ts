/** What the end of a link, or of an attempt, means for the strap's state, the statistics and gaps. */
import type { GapCause, StrapReason } from '../../contract/device-status.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { ConnectTimeout } from '../radio/connect-queue.ts';
import { wasEndedByStrap, type OurEnd } from '../radio/disconnect-reasons.ts';
import { RadioError } from '../radio/radio-error.ts';
import type { RadioConnection } from '../radio/radio.ts';
import { StepTimeout } from './link-step.ts';

/** The strap answered a request that is needed with an error: not a failure of the radio, and not a missing answer. */
export function isRefusal(error: unknown): error is RadioError {
  return error instanceof RadioError && (error.code === 'refused' || error.code === 'pairing_failed');
}

/** The reason of the state `refused`. */
export function refusalOf(error: RadioError): StrapReason {
  return { code: error.code === 'pairing_failed' ? 'pairing_failed' : 'att_error', detail: error.message };
}

/** The reason of the state `unreadable`. */
export const UNREADABLE: StrapReason = {
  code: 'values_unreadable',
  detail: 'the strap sends values of 0x2A37 that hold no heart rate',
};

/** The reason of the state `lost`, where the end of the link alone does not tell what to do. */
export function reasonOfEnd(reason: string, error: unknown): { reason?: StrapReason } {
  return reason === 'too_many_packets' ? { reason: { code: reason, detail: messageOf(error) } } : {};
}

/** The name of an attempt's end in `disconnects`: `timeout` only if the strap did not answer. */
export function endReasonOf(error: unknown): OurEnd {
  if (error instanceof StepTimeout || error instanceof ConnectTimeout) return 'timeout';
  return error instanceof RadioError && error.code === 'bad_answer' ? 'bad_answer' : 'failed';
}

/** Reasons with a cause of their own. A link that another program of this machine ended was not ended by the strap, and was in range. */
const GAP_CAUSES: Readonly<Record<string, GapCause>> = {
  adapter: 'adapter',
  silent: 'sensor_silent',
  ended_by_host: 'adapter',
  hardware_failure: 'adapter',
};

/** The cause of a gap that begins with the end of a link. A strap that ends it has no contact, was taken off, or was switched off. */
export function gapCauseOf(reason: string): GapCause {
  return GAP_CAUSES[reason] ?? (wasEndedByStrap(reason) ? 'ended_by_strap' : 'out_of_range');
}

/**
 * Whether an attempt failed in a way that the radio can be blamed for: the controller reported a failure, or a strap that has delivered
 * before was not reached. What straps refuse, do not answer or have never accepted is theirs.
 */
export function isFruitless(reason: string, error: unknown, proven: boolean): boolean {
  if (reason === 'failed') return true;
  return proven && (reason === 'not_established' || error instanceof ConnectTimeout);
}

/** Ends a link; false if the controller did not confirm it in time: the link was abandoned then. Never rejects. */
export async function disconnectWithin(connection: RadioConnection, limitMs: number): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => {
      connection.abandon();
      resolve(false);
    }, limitMs);
    const confirmed = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    // An error counts as an end, too: there was no link any more.
    void connection.disconnect().then(confirmed, confirmed);
  });
}
