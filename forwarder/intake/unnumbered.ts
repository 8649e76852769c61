/** Numbers readings that no sequencer has numbered: the forwarder is the sequencer of other clients on a broker that is not ours. */
import { randomBytes } from 'node:crypto';
import { parseReading, READING_MAX_BYTES } from '../../contract/reading.ts';
import { deadLetter, sourceIndex, type Checked } from './reading-check.ts';

export class UnnumberedReadings {
  readonly #gateway: string;
  readonly #run = randomBytes(8).toString('hex');
  #seq = 0;

  constructor(gateway: string) {
    this.#gateway = gateway;
  }

  /** Makes a reading of what a client published: its time and heart rate; everything else it sent is kept as text in `original`. */
  check(payload: string, device: string): Checked {
    if (Buffer.byteLength(payload) > READING_MAX_BYTES)
      return { kind: 'dead', letter: deadLetter('too_large', `more than ${READING_MAX_BYTES} bytes`, payload, device, null) };
    const parsed = parseReading(payload);
    if (!parsed.ok) return { kind: 'dead', letter: deadLetter('invalid', parsed.reason, payload, device, null) };
    this.#seq += 1;
    const { timestamp, heart_rate, source, ...others } = parsed.value;
    const reading = {
      timestamp,
      heart_rate,
      device,
      gateway: this.#gateway,
      run: this.#run,
      seq: this.#seq,
      ...(source === undefined ? {} : { source }),
      ...(source === undefined && Object.keys(others).length === 0 ? {} : { original: payload }),
    };
    return { kind: 'row', data: JSON.stringify(reading), device, source: sourceIndex(source) };
  }
}
