/**
 * What becomes of a dead letter at a retry: it is adopted again, by the rules of today. A reading keeps the identity (gateway, run, seq)
 * under which it was refused, so that a consumer that has seen it elsewhere recognises it.
 */
import { randomBytes } from 'node:crypto';
import { readPayload, type AdoptedReading, type PayloadOutcome } from '../../contract/publication/adopted-reading.ts';
import { parseReading } from '../../contract/reading.ts';
import { ADDED_FIELDS } from '../../contract/stream-account.ts';
import { sourceIndex } from './row-sources.ts';
import type { StoredDead } from './stored-rows.ts';

export type Retried =
  | { kind: 'row'; data: string; device: string; source: number }
  /** It stays, with this reason. */
  | { kind: 'dead'; reason: string; detail: string };
export type RetryRules = (letter: StoredDead) => Retried;

/** Refused for where it was published, not for what: only a new publish can help. */
const REFUSED_BY_TOPIC = new Set(['topic', 'device_claimed']);

interface Identity {
  gateway: string;
  run: string;
  seq: number;
}

const unchanged = ({ reason, detail }: StoredDead): Retried => ({ kind: 'dead', reason, detail });

/** An adopted reading under its identity, as the stream holds it. */
function numbered({ timestamp, heart_rate, device, ...rest }: AdoptedReading, { gateway, run, seq }: Identity): string {
  return JSON.stringify({ timestamp, heart_rate, device, gateway, run, seq, ...rest });
}

function adoptAgain(letter: StoredDead): PayloadOutcome {
  const { payload, base64, device, publisher, arrived_at: arrivedAt, at_ms } = letter;
  return readPayload(Buffer.from(payload, base64 === 1 ? 'base64' : 'utf8'), {
    device,
    publisher: publisher ?? undefined,
    arrivedAt: new Date(arrivedAt ?? at_ms),
    clock: 'unknown',
  });
}

function publication(letter: StoredDead, identity: Identity): Retried {
  if (REFUSED_BY_TOPIC.has(letter.reason)) return unchanged(letter);
  const outcome = adoptAgain(letter);
  if (outcome.kind === 'refused') return { kind: 'dead', reason: outcome.code, detail: outcome.detail };
  if (outcome.kind !== 'reading') return unchanged(letter);
  const { reading } = outcome;
  return { kind: 'row', data: numbered(reading, identity), device: reading.device, source: sourceIndex(reading.source) };
}

/** What a sequencer numbered: it must be a reading that carries this identity. */
function sequencersReading(letter: StoredDead): Retried {
  const { payload, run, seq } = letter;
  const parsed = parseReading(payload);
  if (!parsed.ok) return { kind: 'dead', reason: 'invalid', detail: parsed.reason };
  const { value } = parsed;
  const gateway = letter.gateway ?? value.gateway;
  if (value.gateway !== gateway || value.run !== run || value.seq !== seq)
    return { kind: 'dead', reason: 'identity', detail: 'gateway, run or seq differ from those that it arrived under' };
  const added = ADDED_FIELDS.find((field) => value[field] !== undefined);
  if (added !== undefined) return { kind: 'dead', reason: 'invalid', detail: `${added} is added by the forwarder only` };
  return { kind: 'row', data: payload, device: value.device ?? letter.device, source: sourceIndex(value.source) };
}

/**
 * The rules of one retry. `gateway`: name of this box. A letter of an older version that nobody numbered gets an identity now.
 */
export function retryRules(gateway: string): RetryRules {
  const run = randomBytes(8).toString('hex');
  let lastSeq = 0;
  return (letter) => {
    if (letter.whole !== 1) return unchanged(letter);
    if (letter.run === null || letter.seq === null) {
      const outcome = publication(letter, { gateway, run, seq: lastSeq + 1 });
      if (outcome.kind === 'row') lastSeq += 1;
      return outcome;
    }
    if ((letter.arrived_at ?? null) === null) return sequencersReading(letter);
    return publication(letter, { gateway: letter.gateway ?? gateway, run: letter.run, seq: letter.seq });
  };
}
