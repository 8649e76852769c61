/** Turns what arrives into rows or dead letters: never throws, never blocks. */
import { randomBytes } from 'node:crypto';
import { parseReading, READING_MAX_BYTES } from '../../contract/reading.ts';
import { ROW_SOURCES, type DeadLetterInput } from '../queue/queue-messages.ts';

const KEPT_BYTES = 4096;

/** Identity of a reading that its bridge numbered. */
export interface NumberedIdentity {
  run: string;
  seq: number;
}

export type Checked = { kind: 'row'; data: string; device: string; source: number } | { kind: 'dead'; letter: DeadLetterInput };

export function deadLetter(
  reason: string,
  detail: string,
  payload: string,
  device: string,
  identity: NumberedIdentity | null,
): DeadLetterInput {
  const text = Buffer.from(payload);
  return {
    reason,
    detail,
    device,
    run: identity?.run ?? null,
    seq: identity?.seq ?? null,
    bytes: text.length,
    payload: text.length <= KEPT_BYTES ? payload : text.toString('utf8', 0, KEPT_BYTES),
    whole: text.length <= KEPT_BYTES,
  };
}

/** The numbers of a payload that was published live, or undefined: other apps publish without. */
export function identityOf(payload: string): NumberedIdentity | undefined {
  // Cheaper than parsing twice: the bridge writes its numbers in this form.
  const run = /"run":"([0-9a-f]{16})"/.exec(payload)?.[1];
  const seq = Number(/"seq":(\d{1,16})[,}]/.exec(payload)?.[1]);
  return run !== undefined && Number.isSafeInteger(seq) && seq > 0 ? { run, seq } : undefined;
}

/** Checks a reading that its bridge numbered; `device` is known where it came live. */
export function checkNumbered(payload: string, identity: NumberedIdentity, device: string | undefined): Checked {
  if (Buffer.byteLength(payload) > READING_MAX_BYTES)
    return {
      kind: 'dead',
      letter: deadLetter('too_large', `more than ${READING_MAX_BYTES} bytes`, payload, device ?? '', identity),
    };
  const parsed = parseReading(payload);
  if (!parsed.ok) return { kind: 'dead', letter: deadLetter('invalid', parsed.reason, payload, device ?? '', identity) };
  const reading = parsed.value;
  if (reading.run !== identity.run || reading.seq !== identity.seq)
    return {
      kind: 'dead',
      letter: deadLetter('invalid', 'run or seq differ from the packet that carried it', payload, device ?? '', identity),
    };
  return { kind: 'row', data: payload, device: reading.device ?? device ?? 'unknown', source: sourceIndex(reading.source) };
}

function sourceIndex(source: string | undefined): number {
  const index = ROW_SOURCES.findIndex((name) => name === source);
  return index < 0 ? 0 : index;
}

/** Gives readings of other apps an identity of the forwarder's own, so that consumers can treat all alike. */
export class ForeignReadings {
  readonly #gateway: string;
  readonly #run = randomBytes(8).toString('hex');
  #seq = 0;

  constructor(gateway: string) {
    this.#gateway = gateway;
  }

  check(payload: string, device: string): Checked {
    if (Buffer.byteLength(payload) > READING_MAX_BYTES)
      return { kind: 'dead', letter: deadLetter('too_large', `more than ${READING_MAX_BYTES} bytes`, payload, device, null) };
    const parsed = parseReading(payload);
    if (!parsed.ok) return { kind: 'dead', letter: deadLetter('invalid', parsed.reason, payload, device, null) };
    this.#seq += 1;
    const { timestamp, heart_rate, ...rest } = parsed.value;
    const reading = {
      timestamp,
      heart_rate,
      ...rest,
      device: parsed.value.device ?? device,
      gateway: parsed.value.gateway ?? this.#gateway,
      run: this.#run,
      seq: this.#seq,
    };
    return { kind: 'row', data: JSON.stringify(reading), device: reading.device, source: sourceIndex(parsed.value.source) };
  }
}
