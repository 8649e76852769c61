/** Numbered refusals that the outbox makes itself: a reading that the broker does not carry becomes a dead letter, never a gap. */

/** A line of a reading up to this size is taken by every broker that is worth naming; a larger one may exceed its limit. */
export const SMALL_READING_BYTES = 2500;
/** How much of the reading the refusal shows. */
const EXCERPT_CHARACTERS = 800;

/** A numbered refusal in place of a reading; small enough for any broker. */
export function refusalOf(payload: string, nowMs: number): string {
  const field = (name: string): string | undefined => new RegExp(`"${name}":"([^"\\\\]{1,64})"`).exec(payload)?.[1];
  return JSON.stringify({
    refused: {
      code: 'too_large_for_broker',
      detail: `a reading of ${Buffer.byteLength(payload)} bytes made no progress in three answered offers`,
    },
    device: field('device') ?? '',
    timestamp: field('timestamp') ?? new Date(performance.timeOrigin + nowMs).toISOString(),
    payload: asciiExcerpt(payload),
    payload_bytes: Buffer.byteLength(payload),
  });
}

/** Control characters and everything beyond ASCII grow up to six-fold in JSON: they are replaced. */
function asciiExcerpt(payload: string): string {
  return payload.slice(0, EXCERPT_CHARACTERS).replaceAll(/[^ -~]/g, '?');
}
