/**
 * `hr` messages (132): beats that a strap stored itself, for example under water, and that were added to the file later. A message with
 * a timestamp says which count of the strap's clock (1/1024 s) belongs to it; the others carry only the low 12 bits of the count.
 */
import type { RecordedRow } from '../recording.ts';
import type { FitMessage } from './fit-message.ts';

const FRACTIONAL_TIMESTAMP = 0;
const TIME_256 = 1;
const FILTERED_BPM = 6;
const EVENT_TIMESTAMP = 9;
const EVENT_TIMESTAMP_12 = 10;

const TICKS_PER_SECOND = 1024;
/** Beats further apart have no interval: the 12-bit count has gone round, or the strap was off. */
const INTERVAL_MAX_TICKS = 4095;

interface Anchor {
  /** FIT seconds. */
  seconds: number;
  ticks: number;
}

/** The 12-bit values of the packed field: the low byte first, and its upper half shared. */
function twelveBitValues(view: DataView): number[] {
  const values: number[] = [];
  for (let at = 0; at + 1 < view.byteLength; at += 3) {
    const middle = view.getUint8(at + 1);
    values.push(view.getUint8(at) | ((middle & 0x0f) << 8));
    if (at + 2 < view.byteLength) values.push((middle >> 4) | (view.getUint8(at + 2) << 4));
  }
  return values;
}

export class BeatMessages {
  /** One row per beat, in FIT seconds; its interval is the time since the beat before. */
  readonly rows: RecordedRow[] = [];
  /** Beats whose time cannot be told. */
  untimed = 0;
  #anchor: Anchor | undefined;
  #lastTicks: number | undefined;

  /** A part begins: its strap's clock is another one. */
  part(): void {
    this.#anchor = undefined;
    this.#lastTicks = undefined;
  }

  add(message: FitMessage): void {
    const rates = message.numbers(FILTERED_BPM);
    const events = message.numbers(EVENT_TIMESTAMP);
    const first = events[0];
    if (message.timestamp !== undefined && first !== undefined && first !== null) {
      const fraction = message.number(FRACTIONAL_TIMESTAMP);
      const time256 = message.number(TIME_256);
      const part = fraction === null ? (time256 ?? 0) / 256 : fraction / 32_768;
      this.#anchor = { seconds: message.timestamp + part, ticks: first };
    }
    events.forEach((ticks, index) => {
      if (ticks !== null) this.#beat(ticks, rates[index] ?? null);
    });
    const packed = message.bytes(EVENT_TIMESTAMP_12);
    if (packed === undefined) return;
    twelveBitValues(packed).forEach((low, index) => {
      if (index >= rates.length) return;
      const last = this.#lastTicks;
      if (last === undefined) this.untimed += 1;
      else this.#beat((last + ((low - last) & 0xfff)) >>> 0, rates[index] ?? null);
    });
  }

  #beat(ticks: number, bpm: number | null): void {
    const anchor = this.#anchor;
    if (anchor === undefined) {
      this.untimed += 1;
      return;
    }
    const since = this.#lastTicks === undefined ? undefined : (ticks - this.#lastTicks) >>> 0;
    // Unused places of the last message.
    if (since === 0 && (bpm === null || bpm === 0)) return;
    this.#lastTicks = ticks;
    const rrMs = since === undefined || since === 0 || since > INTERVAL_MAX_TICKS ? [] : [(since * 1000) / TICKS_PER_SECOND];
    const offsetSeconds = anchor.seconds + ((ticks - anchor.ticks) >>> 0) / TICKS_PER_SECOND;
    this.rows.push({ offsetSeconds, bpm, rrMs });
  }
}
