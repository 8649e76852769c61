/** Replays a recorded workout as a strap: one notification for each row with a heart rate. Timestamps are those of the replay. */
import { createHash } from 'node:crypto';
import { encodeHeartRateMeasurement } from '../../gatt/hrm-parser.ts';
import type { Recording, RecordedRow } from './recording.ts';
import { SoftStrap, type SoftSource } from './soft-radio.ts';

export interface ReplayOptions {
  recording: Recording;
  /** Speed factor; 0: as fast as `canTake` allows. */
  speed: number;
  loop: boolean;
  /** False while too many readings wait to be stored: a replay at speed 0 pauses. */
  canTake: () => boolean;
  onEnd?: () => void;
}

/** Rows sent in one turn of the event loop. */
const BURST = 200;
const POLL_MS = 20;
const REST_BEFORE_LOOP_MS = 1000;

export class ReplaySource implements SoftSource {
  readonly kind = 'replay';
  readonly straps: readonly SoftStrap[];
  readonly #strap: SoftStrap;
  readonly #o: ReplayOptions;
  readonly #rows: RecordedRow[];
  #timer: NodeJS.Timeout | undefined;
  #next = 0;
  /** When the first row is due (performance.now()); set when the strap is first subscribed. */
  #beganAt: number | undefined;
  #stopped = true;

  constructor(options: ReplayOptions) {
    this.#o = options;
    this.#rows = options.recording.rows.filter(({ bpm }) => bpm !== null);
    const { name } = options.recording;
    const hash = createHash('sha256').update(name).digest('hex');
    this.#strap = new SoftStrap({
      // A locally administered address derived from the recording's name, so that the device keeps its name.
      address: `f2:${[0, 2, 4, 6, 8].map((at) => hash.slice(at, at + 2)).join(':')}`,
      name: `Replay ${name}`.slice(0, 48),
      rssi: -50,
      batteryPercent: 100,
      manufacturer: 'hr-gateway',
      model: 'replay',
      firmware: '1.0',
      bodySensorLocation: 1,
    });
    this.straps = [this.#strap];
  }

  start(): void {
    this.#stopped = false;
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.#run(), delayMs);
  }

  #run(): void {
    if (!this.#strap.subscribed) return this.#schedule(POLL_MS);
    const first = this.#rows[0]?.offsetSeconds ?? 0;
    this.#beganAt ??= performance.now();
    for (let sent = 0; sent < BURST; sent += 1) {
      const row = this.#rows[this.#next];
      if (row === undefined) return this.#ended();
      if (this.#o.speed === 0) {
        if (!this.#o.canTake()) return this.#schedule(1);
      } else {
        const dueInMs = this.#beganAt + ((row.offsetSeconds - first) * 1000) / this.#o.speed - performance.now();
        if (dueInMs > 1) return this.#schedule(dueInMs);
      }
      if (!this.#strap.notify(encodeRow(row))) return this.#schedule(POLL_MS);
      this.#next += 1;
    }
    this.#schedule(0);
  }

  #ended(): void {
    if (!this.#o.loop) {
      // The end of a recording looks like a strap that was taken off.
      this.#strap.present = false;
      this.#strap.drop('out_of_range');
      this.#o.onEnd?.();
      return;
    }
    this.#next = 0;
    this.#beganAt = undefined;
    this.#schedule(this.#o.speed === 0 ? 0 : REST_BEFORE_LOOP_MS / this.#o.speed);
  }
}

function encodeRow({ bpm, rrMs }: RecordedRow): Buffer {
  return encodeHeartRateMeasurement({
    bpm: bpm ?? 0,
    contact: null,
    energyKj: null,
    rr1024: rrMs.map((ms) => Math.min(65_535, Math.round((ms * 1024) / 1000))),
  });
}
