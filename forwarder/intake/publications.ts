/**
 * Numbers what other clients publish on a broker that is not ours: there the forwarder is their sequencer. The rules of payloads are the
 * gateway's (contract/publication/).
 */
import { randomBytes } from 'node:crypto';
import { readPayload, type PayloadOutcome, type PublicationContext } from '../../contract/publication/adopted-reading.ts';
import { sourceIndex } from '../queue/row-sources.ts';
import { publicationLetter, type Checked } from './reading-check.ts';

export interface Publication {
  /** undefined: the topic names none that is allowed. */
  device: string | undefined;
  topic: string;
  payload: Buffer;
  arrivedAt: Date;
}

/** Nothing to store: heart rate 0, or an empty message. */
export type NothingToStore = { kind: 'no_pulse' } | { kind: 'empty' };

function refusedByTopic(device: string | undefined, topic: string, isClaimed: boolean): PayloadOutcome | undefined {
  if (device === undefined)
    return { kind: 'refused', code: 'topic', detail: `not a device name that is allowed: ${topic.slice(0, 256)}` };
  return isClaimed ? { kind: 'refused', code: 'device_claimed', detail: `${device} belongs to a strap of this box` } : undefined;
}

export class Publications {
  readonly #gateway: string;
  readonly #clock: () => PublicationContext['clock'];
  readonly #run = randomBytes(8).toString('hex');
  #lastSeq = 0;

  constructor(gateway: string, clock: () => PublicationContext['clock']) {
    this.#gateway = gateway;
    this.#clock = clock;
  }

  /** What becomes of a publication: a row, a dead letter, or nothing to store. `isClaimed`: a strap has the name of its device. */
  check({ device, topic, payload, arrivedAt }: Publication, isClaimed = false): Checked | NothingToStore {
    const context = { device: device ?? '', publisher: undefined, arrivedAt, clock: this.#clock() };
    const outcome = refusedByTopic(device, topic, isClaimed) ?? readPayload(payload, context);
    if (outcome.kind === 'no_pulse' || outcome.kind === 'empty') return outcome;
    this.#lastSeq += 1;
    const identity = { gateway: this.#gateway, run: this.#run, seq: this.#lastSeq };
    if (outcome.kind === 'refused') {
      const why = { reason: outcome.code, detail: outcome.detail, device: device ?? '', ...identity };
      return { kind: 'dead', letter: publicationLetter(why, payload, { arrivedAt: arrivedAt.toISOString() }) };
    }
    const { timestamp, heart_rate, device: name, ...rest } = outcome.reading;
    const data = JSON.stringify({ timestamp, heart_rate, device: name, ...identity, ...rest });
    return { kind: 'row', data, device: name, source: sourceIndex(rest.source) };
  }
}
