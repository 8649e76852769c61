/**
 * Replays recordings as straps, one each: notifications at the times of the recording, timestamps those of the replay. All straps start
 * together. Long pauses are kept, since a pause is part of what happened, and announced; timers are never set for longer than Node can.
 */
import { createHash } from 'node:crypto';
import type { Recording } from '../../../recordings/recording.ts';
import { planReplay, type PlannedNotification, type ReplayPlan } from '../../../recordings/replay-plan.ts';
import { encodeHeartRateMeasurement } from '../../gatt/hrm-parser.ts';
import { SoftStrap, type SoftSource } from './soft-radio.ts';

/** What becomes of a replay, for logs and progress. */
export interface ReplayListener {
  /** A pause of more than 10 s begins, in ms as replayed at this speed; `recordedMs` as recorded. */
  pause?(recording: string, waitMs: number, recordedMs: number): void;
  /** A recording is at its end; it starts again if the replay loops. */
  ended?(recording: string, plan: ReplayPlan): void;
}

export interface ReplayOptions {
  recordings: readonly Recording[];
  /** Speed factor; 0: as fast as `canTake` allows. */
  speed: number;
  loop: boolean;
  /** Longer pauses are shortened to this; 0: all are kept. */
  maxPauseMs: number;
  /** False while too many readings wait to be stored: a replay at speed 0 pauses. */
  canTake: () => boolean;
  listener?: ReplayListener;
}

/** How far a recording is. */
export interface ReplayProgress {
  recording: string;
  /** Notifications sent in this round. */
  sent: number;
  total: number;
  /** Not set while a replay loops. */
  ended: boolean;
  /** Time until everything is sent; undefined: not subscribed yet, or as fast as possible. */
  leftMs: number | undefined;
}

/** Rows sent in one turn of the event loop. */
const BURST = 200;
const POLL_MS = 20;
const REST_BEFORE_LOOP_MS = 1000;
/** Node fires a timer of more than 2^31 - 1 ms at once. An hour also bounds how late a timer is after the machine slept. */
const TIMER_MAX_MS = 3_600_000;
const ANNOUNCED_FROM_MS = 10_000;

/** Recordings of one name (from two folders) are two straps. */
function distinctNames(recordings: readonly Recording[]): string[] {
  const used = new Set<string>();
  return recordings.map(({ name }) => {
    let distinct = name;
    for (let number = 2; used.has(distinct); number += 1) distinct = `${name} ${number}`;
    used.add(distinct);
    return distinct;
  });
}

/** A locally administered address derived from the recording's name, so that the device keeps its name. */
function strapOf(name: string): SoftStrap {
  const hash = createHash('sha256').update(name).digest('hex');
  return new SoftStrap({
    address: `f2:${[0, 2, 4, 6, 8].map((at) => hash.slice(at, at + 2)).join(':')}`,
    name: `Replay ${name}`.slice(0, 48),
    rssi: -50,
    batteryPercent: 100,
    manufacturer: 'hr-gateway',
    model: 'replay',
    firmware: '1.0',
    bodySensorLocation: 1,
  });
}

class ReplayedStrap {
  readonly strap: SoftStrap;
  readonly #name: string;
  readonly #plan: ReplayPlan;
  readonly #o: ReplayOptions;
  #timer: NodeJS.Timeout | undefined;
  #next = 0;
  /** The next of `plan.pauses` to announce. */
  #nextPause = 0;
  /** When the first notification is due (performance.now()); set when the strap is first subscribed. */
  #beganAt: number | undefined;
  #stopped = true;
  #ended = false;

  constructor(recording: Recording, name: string, options: ReplayOptions) {
    this.#name = name;
    this.#o = options;
    this.#plan = planReplay(recording, { maxPauseMs: options.maxPauseMs });
    this.strap = strapOf(name);
  }

  get progress(): ReplayProgress {
    const { replayedMs, notifications } = this.#plan;
    const isTimed = this.#beganAt !== undefined && this.#o.speed > 0;
    const endsAt = isTimed ? (this.#beganAt ?? 0) + replayedMs / this.#o.speed : undefined;
    const leftMs = endsAt === undefined ? undefined : Math.max(0, endsAt - performance.now());
    return {
      recording: this.#name,
      sent: this.#next,
      total: notifications.length,
      ended: this.#ended,
      leftMs: this.#ended ? 0 : leftMs,
    };
  }

  start(): void {
    this.#stopped = false;
    if (!this.#ended) this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.#run(), Math.min(delayMs, TIMER_MAX_MS));
  }

  #run(): void {
    if (!this.strap.subscribed) return this.#schedule(POLL_MS);
    this.#beganAt ??= performance.now();
    for (let sent = 0; sent < BURST; sent += 1) {
      const next = this.#plan.notifications[this.#next];
      if (next === undefined) return this.#atEnd();
      if (this.#o.speed === 0) {
        if (!this.#o.canTake()) return this.#schedule(1);
      } else {
        const dueInMs = this.#beganAt + next.atMs / this.#o.speed - performance.now();
        if (dueInMs > 1) return this.#wait(dueInMs);
      }
      if (!this.strap.notify(encoded(next))) return this.#schedule(POLL_MS);
      this.#next += 1;
    }
    this.#schedule(0);
  }

  #wait(dueInMs: number): void {
    const { pauses } = this.#plan;
    while ((pauses[this.#nextPause]?.before ?? Infinity) < this.#next) this.#nextPause += 1;
    const pause = pauses[this.#nextPause];
    if (pause?.before === this.#next) {
      this.#nextPause += 1;
      if (dueInMs > ANNOUNCED_FROM_MS) this.#o.listener?.pause?.(this.#name, dueInMs, pause.durationMs);
    }
    this.#schedule(dueInMs);
  }

  #atEnd(): void {
    this.#o.listener?.ended?.(this.#name, this.#plan);
    if (!this.#o.loop) {
      this.#ended = true;
      // The end of a recording looks like a strap that was taken off.
      this.strap.present = false;
      this.strap.drop('out_of_range');
      return;
    }
    this.#next = 0;
    this.#nextPause = 0;
    this.#beganAt = undefined;
    this.#schedule(this.#o.speed === 0 ? 0 : REST_BEFORE_LOOP_MS / this.#o.speed);
  }
}

export class ReplaySource implements SoftSource {
  readonly kind = 'replay';
  readonly straps: readonly SoftStrap[];
  readonly #replayed: readonly ReplayedStrap[];

  constructor(options: ReplayOptions) {
    const names = distinctNames(options.recordings);
    this.#replayed = options.recordings.map((recording, index) => new ReplayedStrap(recording, names[index] ?? '', options));
    this.straps = this.#replayed.map(({ strap }) => strap);
  }

  /** Of each recording, in the order given. */
  get progress(): ReplayProgress[] {
    return this.#replayed.map(({ progress }) => progress);
  }

  start(): void {
    for (const replayed of this.#replayed) replayed.start();
  }

  stop(): void {
    for (const replayed of this.#replayed) replayed.stop();
  }
}

function encoded({ bpm, rr1024 }: PlannedNotification): Buffer {
  return encodeHeartRateMeasurement({ bpm, contact: null, energyKj: null, rr1024 });
}
