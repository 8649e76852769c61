/** Turns the lines of packets into rows or dead letters: never throws, never blocks. */
import Type, { type Static } from 'typebox';
import { parseReading, READING_MAX_BYTES } from '../../contract/reading.ts';
import { parserOf } from '../../contract/validate.ts';
import { ROW_SOURCES, type DeadLetterInput } from '../queue/queue-messages.ts';

/** A dead letter keeps so much of its payload. */
const KEPT_BYTES = 4096;

/** The identity of a reading, as the topic and the line of its packet say. */
export interface Identity {
  gateway: string;
  run: string;
  seq: number;
}

export type Checked = { kind: 'row'; data: string; device: string; source: number } | { kind: 'dead'; letter: DeadLetterInput };

const refusalSchema = Type.Object({
  refused: Type.Object({ code: Type.String({ pattern: '^[a-z0-9_]{1,64}$' }), detail: Type.String({ maxLength: 1000 }) }),
  device: Type.Optional(Type.String({ maxLength: 256 })),
  payload: Type.Optional(Type.String()),
  payload_base64: Type.Optional(Type.String()),
});
const parseRefusal = parserOf(refusalSchema);

/** Index into ROW_SOURCES of a reading's `source`. */
export function sourceIndex(source: string | undefined): number {
  return Math.max(
    0,
    ROW_SOURCES.findIndex((name) => name === source),
  );
}

export function deadLetter(
  reason: string,
  detail: string,
  payload: string,
  device: string,
  identity: Pick<Identity, 'run' | 'seq'> | null,
): DeadLetterInput {
  const bytes = Buffer.byteLength(payload);
  return {
    reason,
    detail,
    device,
    run: identity?.run ?? null,
    seq: identity?.seq ?? null,
    bytes,
    payload: bytes <= KEPT_BYTES ? payload : Buffer.from(payload).toString('utf8', 0, KEPT_BYTES),
    whole: bytes <= KEPT_BYTES,
  };
}

/** A refusal carries what the client published, if the sequencer could keep it. */
function refusedLetter(refusal: Static<typeof refusalSchema>, line: string, identity: Identity): DeadLetterInput {
  const { refused, device, payload, payload_base64: base64 } = refusal;
  const published = payload ?? (base64 === undefined ? line : Buffer.from(base64, 'base64').toString());
  return deadLetter(refused.code, refused.detail, published, device ?? '', identity);
}

/** Checks a line of a packet: a reading, which must carry the identity that topic and line give it, or a numbered refusal. */
export function checkNumbered(payload: string, identity: Identity): Checked {
  const dead = (reason: string, detail: string, device = ''): Checked => ({
    kind: 'dead',
    letter: deadLetter(reason, detail, payload, device, identity),
  });
  if (Buffer.byteLength(payload) > READING_MAX_BYTES) return dead('too_large', `more than ${READING_MAX_BYTES} bytes`);
  if (payload.startsWith('{"refused":')) {
    const refusal = parseRefusal(payload);
    if (refusal.ok) return { kind: 'dead', letter: refusedLetter(refusal.value, payload, identity) };
  }
  const parsed = parseReading(payload);
  if (!parsed.ok) return dead('invalid', parsed.reason);
  const { gateway, run, seq, device, source } = parsed.value;
  if (gateway !== identity.gateway || run !== identity.run || seq !== identity.seq)
    return dead('identity', 'gateway, run or seq differ from the topic and line that carried it', device);
  return { kind: 'row', data: payload, device: device ?? 'unknown', source: sourceIndex(source) };
}
