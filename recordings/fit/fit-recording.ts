/**
 * Heart rates and RR intervals of a FIT file, from whatever messages hold them (FIT profile): `record`, `monitoring`, `hr` (beats that a
 * strap stored), `hsa_heart_rate_data`; intervals from `hrv`, `beat_intervals` and between beats. All other messages are skipped unread.
 * Intervals of `hrv` belong to the next `record`, because recorders write them before it.
 */
import { counted, UnusableContent, type RecordedRow, type Series } from '../recording.ts';
import { BeatMessages } from './beat-messages.ts';
import { coveredBeats } from './covered-beats.ts';
import { deviceName } from './device-name.ts';
import type { FitMessage } from './fit-message.ts';
import { readFitParts, type FitVisitor } from './fit-parts.ts';

/** Global message numbers. */
const FILE_ID = 0;
const RECORD = 20;
const MONITORING = 55;
const HRV = 78;
const MONITORING_INFO = 103;
const HR = 132;
const FIELD_DESCRIPTION = 206;
const BEAT_INTERVALS = 290;
const HSA_HEART_RATE = 308;

const RECORD_HEART_RATE = 3;
const HRV_TIME = 0;
const MONITORING_TIMESTAMP_16 = 26;
const MONITORING_HEART_RATE = 27;
const BEAT_INTERVALS_TIMESTAMP_MS = 0;
const BEAT_INTERVALS_TIME = 1;
const HSA_INTERVAL = 0;
const HSA_HEART_RATES = 2;
/** Fields of `field_description`. */
const DESCRIBED = { developerIndex: 0, number: 1, baseType: 2, nativeMessage: 14, nativeField: 15 } as const;

/** FIT counts seconds from 1989-12-31T00:00:00Z; times below this are seconds since the device was switched on. */
const FIT_EPOCH_MS = 631_065_600_000;
const DATED_FROM = 0x10000000;

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);

class HeartRates implements FitVisitor {
  readonly notes: string[] = [];
  readonly beats = new BeatMessages();
  /** Of records, monitoring and health snapshots; times in FIT seconds. */
  readonly rows: RecordedRow[] = [];
  device: string | undefined;
  /** Heart rates of messages without a time. */
  untimed = 0;
  hasHrv = false;
  records = 0;
  /** Base types of developer fields that stand for a record's heart rate, by developer and number. */
  readonly #developerRates = new Map<number, number>();
  /** Intervals that wait for the next record. */
  #pendingRrMs: number[] = [];
  #monitoringTime: number | undefined;

  part(): void {
    this.beats.part();
    this.#developerRates.clear();
    this.#monitoringTime = undefined;
  }

  note(text: string): void {
    this.notes.push(text);
  }

  message(message: FitMessage): void {
    switch (message.globalNumber) {
      case FILE_ID:
        this.device ??= deviceName(message);
        break;
      case RECORD:
        this.#record(message);
        break;
      case HRV:
        this.hasHrv = true;
        this.#pendingRrMs.push(...present(message.numbers(HRV_TIME)));
        break;
      case HR:
        this.beats.add(message);
        break;
      case MONITORING_INFO:
        this.#monitoringTime = message.timestamp ?? this.#monitoringTime;
        break;
      case MONITORING:
        this.#monitoring(message);
        break;
      case BEAT_INTERVALS:
        this.#beatIntervals(message);
        break;
      case HSA_HEART_RATE:
        this.#healthSnapshot(message);
        break;
      case FIELD_DESCRIPTION:
        this.#describe(message);
        break;
    }
  }

  /** Intervals after the last record. */
  end(): void {
    const last = this.rows.at(-1);
    if (this.#pendingRrMs.length === 0) return;
    if (last === undefined)
      this.notes.push(`${counted(this.#pendingRrMs.length, 'RR interval')} without a record to tell their time`);
    else this.rows.push({ offsetSeconds: last.offsetSeconds, bpm: null, rrMs: this.#pendingRrMs });
    this.#pendingRrMs = [];
  }

  #record(message: FitMessage): void {
    this.records += 1;
    let bpm = message.number(RECORD_HEART_RATE);
    if (bpm === null && this.#developerRates.size > 0)
      for (const value of message.developerNumbers((index, number) => this.#developerRates.get(index * 256 + number)))
        bpm ??= value;
    if (message.timestamp === undefined) {
      if (bpm !== null) this.untimed += 1;
      return;
    }
    this.rows.push({ offsetSeconds: message.timestamp, bpm, rrMs: this.#pendingRrMs });
    this.#pendingRrMs = [];
  }

  #monitoring(message: FitMessage): void {
    const low = message.number(MONITORING_TIMESTAMP_16);
    const last = this.#monitoringTime;
    if (message.timestamp !== undefined) this.#monitoringTime = message.timestamp;
    else if (low !== null && last !== undefined) this.#monitoringTime = last + ((low - last) & 0xffff);
    const bpm = message.number(MONITORING_HEART_RATE);
    if (bpm === null) return;
    const isTimed = message.timestamp !== undefined || (low !== null && last !== undefined);
    if (!isTimed || this.#monitoringTime === undefined) this.untimed += 1;
    else this.rows.push({ offsetSeconds: this.#monitoringTime, bpm, rrMs: [] });
  }

  #beatIntervals(message: FitMessage): void {
    const rrMs = present(message.numbers(BEAT_INTERVALS_TIME));
    if (rrMs.length === 0) return;
    const ms = message.number(BEAT_INTERVALS_TIMESTAMP_MS) ?? 0;
    if (message.timestamp === undefined) this.#pendingRrMs.push(...rrMs);
    else this.rows.push({ offsetSeconds: message.timestamp + ms / 1000, bpm: null, rrMs });
  }

  /** The rates of the seconds (or of the steps of the interval) from the timestamp on. */
  #healthSnapshot(message: FitMessage): void {
    const rates = message.numbers(HSA_HEART_RATES);
    const interval = message.number(HSA_INTERVAL) ?? 0;
    const step = interval > 0 && rates.length > 0 ? interval / rates.length : 1;
    rates.forEach((bpm, index) => {
      if (bpm === null) return;
      if (message.timestamp === undefined) this.untimed += 1;
      else this.rows.push({ offsetSeconds: message.timestamp + index * step, bpm, rrMs: [] });
    });
  }

  #describe(message: FitMessage): void {
    const index = message.number(DESCRIBED.developerIndex);
    const number = message.number(DESCRIBED.number);
    const baseType = message.number(DESCRIBED.baseType);
    const isHeartRate =
      message.number(DESCRIBED.nativeMessage) === RECORD && message.number(DESCRIBED.nativeField) === RECORD_HEART_RATE;
    if (isHeartRate && index !== null && number !== null && baseType !== null)
      this.#developerRates.set(index * 256 + number, baseType);
  }
}

/** Reads a FIT file. Throws UnusableContent if it has no heart rates and no intervals, or is damaged. */
export function readFit(bytes: Uint8Array): Series {
  const read = new HeartRates();
  readFitParts(bytes, read);
  read.end();
  const { notes } = read;
  const { rows, repeated } = withBeats(read);
  if (repeated > 0)
    notes.push(`${counted(repeated, 'beat')} stored by the strap repeat rates of the watch: only their RR intervals were taken`);
  const untimed = read.untimed + read.beats.untimed;
  if (rows.length === 0) {
    const found = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
    if (untimed > 0)
      throw new UnusableContent(
        `FIT: ${counted(untimed, 'heart rate')}, but no record has a timestamp: their times are unknown${found}`,
      );
    throw new UnusableContent(
      read.records > 0
        ? `FIT: ${counted(read.records, 'record')}, but none has a timestamp${found}`
        : `FIT: the file has no records: it is not an activity${found}`,
    );
  }
  if (untimed > 0) notes.push(`${counted(untimed, 'heart rate')} without a time left out`);
  const isDated = rows.every(({ offsetSeconds }) => offsetSeconds >= DATED_FROM);
  const someDated = rows.some(({ offsetSeconds }) => offsetSeconds >= DATED_FROM);
  if (someDated && !isDated) notes.push('some times are dates, others count from when the device was switched on');
  const zero = rows[0]?.offsetSeconds ?? 0;
  for (const row of rows) row.offsetSeconds -= zero;
  return { format: 'FIT', device: read.device, startMs: isDated ? FIT_EPOCH_MS + zero * 1000 : undefined, rows, notes };
}

/** Rows of records and beats together: a beat counts where the records have no rate of their own. */
function withBeats({ rows, beats, hasHrv }: HeartRates): { rows: RecordedRow[]; repeated: number } {
  if (beats.rows.length === 0) return { rows, repeated: 0 };
  const { own, repeated } = coveredBeats(rows, beats.rows, { withIntervals: !hasHrv });
  // Not a clock that went back: beats were appended to the file when the strap had sent them.
  const together = [...rows, ...own].sort((a, b) => a.offsetSeconds - b.offsetSeconds);
  return { rows: together, repeated };
}
