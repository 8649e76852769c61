/**
 * What becomes of a payload that another client publishes on `hr/<device>/bpm` (design section 1, "An adopted reading"): a reading, a
 * refusal, or nothing to store. Of the client's fields only `timestamp`, `heart_rate` and a `source` of simulated or replay are taken; the
 * whole text goes into `original`, a string, unless there was nothing else in it. Identity comes from the topic and the login, never from
 * the payload. The gateway applies these rules, on an external broker the forwarder, and at a retry of a dead letter its queue.
 */
import type { AdoptionRefusal } from '../dead-letter.ts';
import { heartRateOf } from './heart-rate.ts';
import { readJsonText, type JsonValue } from './json-text.ts';
import { PAYLOAD_MAX_BYTES, type Refusal } from './refusal.ts';
import { exactText } from './payload-text.ts';
import { timestampOf } from './timestamp.ts';

export interface PublicationContext {
  device: string;
  /** The authenticated user; undefined where the broker does not tell: an external one. */
  publisher: string | undefined;
  arrivedAt: Date;
  /** Whether this box's clock can be trusted. */
  clock: 'synced' | 'unsynced' | 'unknown';
}

/** A reading of another client before it has gateway, run and seq. */
export type AdoptedReading = Readonly<{
  /** UTC, milliseconds. */
  timestamp: string;
  heart_rate: number;
  device: string;
  /** State of this box's clock; only if the timestamp is the time of arrival. */
  clock?: PublicationContext['clock'];
  publisher?: string;
  source?: 'simulated' | 'replay';
  /** The payload as text. */
  original?: string;
}>;

export type PayloadOutcome =
  | {
      kind: 'reading';
      reading: AdoptedReading;
      /** The payload carries a timestamp of its own, so two equal payloads are the same measurement. */
      timed: boolean;
    }
  | { kind: 'no_pulse' }
  | { kind: 'empty' }
  | ({ kind: 'refused' } & Refusal);

const BYTE_ORDER_MARK = '\ufeff';
const refused = (code: AdoptionRefusal, detail: string): PayloadOutcome => ({ kind: 'refused', code, detail });

interface Fields {
  heartRate: JsonValue | undefined;
  timestamp: JsonValue | undefined;
  source: JsonValue | undefined;
  /** Exactly one timestamp and one heart_rate. */
  isPlain: boolean;
}

function fieldsOf(value: JsonValue): Fields | undefined {
  if (value.kind === 'number') return { heartRate: value, timestamp: undefined, source: undefined, isPlain: false };
  if (value.kind !== 'object') return undefined;
  const { members } = value;
  const [heartRate, timestamp] = [members.get('heart_rate'), members.get('timestamp')];
  const isPlain = members.size === 2 && heartRate !== undefined && timestamp !== undefined;
  return { heartRate, timestamp, source: members.get('source'), isPlain };
}

/** Reads a payload; never throws. */
export function readPayload(payload: Buffer, context: PublicationContext): PayloadOutcome {
  if (payload.length === 0) return { kind: 'empty' };
  if (payload.length > PAYLOAD_MAX_BYTES)
    return refused('payload_too_large', `${payload.length} bytes; at most ${PAYLOAD_MAX_BYTES} are taken`);
  const text = exactText(payload);
  if (text === undefined) return refused('payload_not_utf8', 'the payload is not valid UTF-8');
  if (text.startsWith(BYTE_ORDER_MARK)) return refused('payload_byte_order_mark', 'the payload begins with a byte order mark');
  const json = readJsonText(text);
  if (!json.ok) return refused(json.code, json.detail);
  const fields = fieldsOf(json.value);
  if (fields === undefined) return refused('payload_not_a_reading', `${json.value.kind} instead of an object or a number`);
  return readingOf(text, fields, context);
}

/** The timestamp in the payload; `time` is undefined if it has none. */
function timeOf(
  timestamp: JsonValue | undefined,
): { ok: true; time?: { utc: string; truncated: boolean } } | ({ ok: false } & Refusal) {
  if (timestamp === undefined) return { ok: true };
  if (timestamp.kind === 'number')
    return { ok: false, code: 'timestamp_epoch', detail: 'timestamp is a number: seconds or milliseconds is not known' };
  if (timestamp.kind !== 'string')
    return { ok: false, code: 'timestamp_type', detail: `timestamp is ${timestamp.kind}, not a string` };
  const time = timestampOf(timestamp.value);
  return time.ok ? { ok: true, time } : time;
}

const isTestSource = (value: string): value is 'simulated' | 'replay' => value === 'simulated' || value === 'replay';

function readingOf(text: string, fields: Fields, context: PublicationContext): PayloadOutcome {
  const { heartRate, timestamp, source } = fields;
  if (heartRate === undefined) return refused('heart_rate_missing', 'there is no heart_rate');
  if (heartRate.kind !== 'number') return refused('heart_rate_type', `heart_rate is ${heartRate.kind}, not a number`);
  const rate = heartRateOf(heartRate.literal);
  if (!rate.ok) return refused(rate.code, rate.detail);
  const timed = timeOf(timestamp);
  if (!timed.ok) return refused(timed.code, timed.detail);
  if (rate.bpm === 0) return { kind: 'no_pulse' };
  const { time } = timed;
  return {
    kind: 'reading',
    timed: time !== undefined,
    reading: {
      timestamp: time?.utc ?? context.arrivedAt.toISOString(),
      heart_rate: rate.bpm,
      device: context.device,
      ...(time === undefined ? { clock: context.clock } : {}),
      ...(context.publisher === undefined ? {} : { publisher: context.publisher }),
      ...(source?.kind === 'string' && isTestSource(source.value) ? { source: source.value } : {}),
      ...(fields.isPlain && time?.truncated === false ? {} : { original: text }),
    },
  };
}
