/** Turns the lines of packets into rows or dead letters: never throws, never blocks. */
import { DEAD_LETTER_KEPT_BYTES } from '../../contract/dead-letter.ts';
import { exactText } from '../../contract/publication/payload-text.ts';
import { parseRefusedLine, type RefusedLine } from '../../contract/publication/refusal.ts';
import { parseReading, READING_MAX_BYTES } from '../../contract/reading.ts';
import { ADDED_FIELDS } from '../../contract/stream-account.ts';
import type { DeadLetterInput, Publication } from '../queue/queue-messages.ts';
import { sourceIndex } from '../queue/row-sources.ts';

/** The identity of a reading, as the topic and the line of its packet say. */
export interface Identity {
  gateway: string;
  run: string;
  seq: number;
}

export type Checked = { kind: 'row'; data: string; device: string; source: number } | { kind: 'dead'; letter: DeadLetterInput };

export interface Refused extends Identity {
  reason: string;
  detail: string;
  device: string;
}

/** The letter of a line that a sequencer numbered. */
function lineLetter({ reason, detail, device, gateway, run, seq }: Refused, line: string): DeadLetterInput {
  const bytes = Buffer.byteLength(line);
  const whole = bytes <= DEAD_LETTER_KEPT_BYTES;
  const payload = whole ? line : Buffer.from(line).toString('utf8', 0, DEAD_LETTER_KEPT_BYTES);
  return { reason, detail, device, gateway, run, seq, bytes, payload, whole };
}

/** The letter of what another client published. `bytes`: its size, if `published` is only its beginning. */
export function publicationLetter(
  { reason, detail, device, gateway, run, seq }: Refused,
  published: Buffer,
  publication: Omit<Publication, 'isBase64'>,
  bytes = published.length,
): DeadLetterInput {
  const kept = published.subarray(0, DEAD_LETTER_KEPT_BYTES);
  const text = exactText(kept);
  return {
    reason,
    detail,
    device,
    gateway,
    run,
    seq,
    bytes,
    payload: text ?? kept.toString('base64'),
    whole: kept.length === bytes,
    publication: { ...publication, isBase64: text === undefined },
  };
}

/** A refusal carries what the client published, if the sequencer could keep it. */
function refusedLetter(line: RefusedLine, text: string, identity: Identity): DeadLetterInput {
  const { refused, device = '', publisher, timestamp, payload, payload_base64: base64, payload_bytes: bytes } = line;
  const why: Refused = { reason: refused.code, detail: refused.detail, device, ...identity };
  if (payload === undefined && base64 === undefined) return lineLetter(why, text);
  const published = payload === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(payload);
  if (publisher !== undefined)
    return publicationLetter(why, published, { arrivedAt: timestamp ?? new Date().toISOString(), publisher }, bytes);
  const letter = lineLetter(why, published.toString());
  return bytes === undefined ? letter : { ...letter, bytes, whole: false };
}

/** Checks a line of a packet: a reading, which must carry the identity that topic and line give it, or a numbered refusal. */
export function checkNumbered(payload: string, identity: Identity): Checked {
  const dead = (reason: string, detail: string, device = ''): Checked => ({
    kind: 'dead',
    letter: lineLetter({ reason, detail, device, ...identity }, payload),
  });
  if (Buffer.byteLength(payload) > READING_MAX_BYTES) return dead('too_large', `more than ${READING_MAX_BYTES} bytes`);
  if (payload.startsWith('{"refused":')) {
    const refusal = parseRefusedLine(payload);
    if (refusal.ok) return { kind: 'dead', letter: refusedLetter(refusal.value, payload, identity) };
  }
  const parsed = parseReading(payload);
  if (!parsed.ok) return dead('invalid', parsed.reason);
  const { gateway, run, seq, device, source } = parsed.value;
  if (gateway !== identity.gateway || run !== identity.run || seq !== identity.seq)
    return dead('identity', 'gateway, run or seq differ from the topic and line that carried it', device);
  const added = ADDED_FIELDS.find((field) => parsed.value[field] !== undefined);
  if (added !== undefined) return dead('invalid', `${added} is added by the forwarder only`, device);
  return { kind: 'row', data: payload, device: device ?? 'unknown', source: sourceIndex(source) };
}
