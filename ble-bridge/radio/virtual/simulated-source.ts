/**
 * Simulated straps: one at rest (slow drift, breathing), one in an interval workout, one that drops out and returns. The heart rate
 * is derived from generated RR intervals, so that both always agree.
 */
import { encodeHeartRateMeasurement } from '../../gatt/hrm-parser.ts';
import { SoftStrap, type SoftSource } from './soft-radio.ts';

const NOTIFY_EVERY_MS = 1000;
/** The third strap is in range, then out of range, for this long each. */
const PRESENT_S = 75;
const AWAY_S = 20;

export interface SimulatedOptions {
  straps: number;
  /** For tests: uniform in [0, 1). */
  random?: () => number;
  now?: () => number;
}

const KINDS = ['rest', 'intervals', 'dropouts'] as const;
type Kind = (typeof KINDS)[number];

/** The heart rate that this kind of person tends to, `t` seconds after the start, in bpm. */
function targetBpm(kind: Kind, t: number): number {
  switch (kind) {
    case 'rest':
      return 62 + 4 * Math.sin(t / 97) + 2 * Math.sin(t / 31);
    case 'intervals': {
      // Two minutes of warm-up, then three minutes hard and two minutes easy, repeated.
      const phase = t % 300;
      if (t < 120) return 95 + t / 6;
      return phase < 180 ? 168 : 118;
    }
    case 'dropouts':
      return 82 + 9 * Math.sin(t / 61);
  }
}

/** A heart that follows its target slowly, up faster than down, with breathing and noise in the beats. */
class Heart {
  readonly #kind: Kind;
  readonly #random: () => number;
  #bpm: number;
  #t = 0;
  /** Seconds from now to the next beat. */
  #untilBeat = 0;
  energyJoules = 0;

  constructor(kind: Kind, random: () => number) {
    this.#kind = kind;
    this.#random = random;
    this.#bpm = targetBpm(kind, 0);
  }

  /** Advances the time and returns the RR intervals (1/1024 s) of the beats in it. */
  pass(seconds: number): number[] {
    const rr1024: number[] = [];
    let left = seconds;
    while (this.#untilBeat <= left) {
      left -= this.#untilBeat;
      this.#t += this.#untilBeat;
      const target = targetBpm(this.#kind, this.#t);
      this.#bpm += (target - this.#bpm) * (target > this.#bpm ? 0.035 : 0.018);
      // Respiratory sinus arrhythmia: strong at rest, almost absent during hard work.
      const sway = Math.max(0.004, 0.05 * (1 - (this.#bpm - 60) / 110));
      const rrSeconds = (60 / this.#bpm) * (1 + sway * Math.sin((2 * Math.PI * this.#t) / 4.2) + 0.006 * (this.#random() - 0.5));
      this.#untilBeat = rrSeconds;
      rr1024.push(Math.round(rrSeconds * 1024));
    }
    this.#untilBeat -= left;
    this.#t += left;
    this.energyJoules += seconds * Math.max(0, this.#bpm - 50) * 6;
    return rr1024;
  }
}

const MODELS: Record<Kind, { name: string; manufacturer: string; model: string; contact: boolean | null }> = {
  rest: { name: 'Simulated Rest', manufacturer: 'hr-gateway', model: 'simulated (rest)', contact: true },
  intervals: { name: 'Simulated Intervals', manufacturer: 'hr-gateway', model: 'simulated (interval workout)', contact: true },
  dropouts: { name: 'Simulated Dropouts', manufacturer: 'hr-gateway', model: 'simulated (drops out and returns)', contact: null },
};

class SimulatedStrap {
  readonly strap: SoftStrap;
  readonly #kind: Kind;
  readonly #heart: Heart;
  /** The last RR intervals, over which a strap averages its heart rate. */
  #recent: number[] = [];
  #age = 0;
  #notifications = 0;

  constructor(index: number, random: () => number) {
    this.#kind = KINDS[index % KINDS.length] ?? 'rest';
    const { name, manufacturer, model } = MODELS[this.#kind];
    this.#heart = new Heart(this.#kind, random);
    this.strap = new SoftStrap({
      address: `f0:00:00:00:${Math.floor(index / 256)
        .toString(16)
        .padStart(2, '0')}:${(index % 256).toString(16).padStart(2, '0')}`,
      name,
      manufacturer,
      model,
      firmware: '1.0',
      rssi: -52 - 6 * (index % 5),
      batteryPercent: 96 - ((index * 17) % 70),
      bodySensorLocation: 1,
    });
    this.strap.onEnergyReset = () => (this.#heart.energyJoules = 0);
  }

  second(): void {
    this.#age += 1;
    const rr1024 = this.#heart.pass(NOTIFY_EVERY_MS / 1000);
    this.#recent = [...this.#recent, ...rr1024].slice(-6);
    this.#comeAndGo();
    if (this.#age % 3600 === 0 && this.strap.battery > 5) this.strap.battery -= 1;
    if (!this.strap.present || !this.strap.subscribed || this.#recent.length === 0) return;
    const mean = this.#recent.reduce((sum, interval) => sum + interval, 0) / this.#recent.length;
    this.#notifications += 1;
    this.strap.notify(
      encodeHeartRateMeasurement({
        bpm: Math.round((60 * 1024) / mean),
        contact: MODELS[this.#kind].contact,
        energyKj:
          this.#kind === 'intervals' && this.#notifications % 10 === 0 ? Math.round(this.#heart.energyJoules / 1000) : null,
        rr1024,
      }),
    );
  }

  #comeAndGo(): void {
    if (this.#kind !== 'dropouts') return;
    const present = this.#age % (PRESENT_S + AWAY_S) < PRESENT_S;
    if (this.strap.present && !present) {
      this.strap.present = false;
      this.strap.drop('out_of_range');
    } else this.strap.present = present;
  }
}

export class SimulatedSource implements SoftSource {
  readonly kind = 'simulated';
  readonly #simulated: SimulatedStrap[];
  #timer: NodeJS.Timeout | undefined;

  constructor({ straps, random = Math.random }: SimulatedOptions) {
    this.#simulated = Array.from({ length: straps }, (_, index) => new SimulatedStrap(index, random));
  }

  get straps(): readonly SoftStrap[] {
    return this.#simulated.map(({ strap }) => strap);
  }

  /** Advances all straps by one second; tests call it instead of waiting. */
  second(): void {
    for (const simulated of this.#simulated) simulated.second();
  }

  start(): void {
    this.#timer = setInterval(() => this.second(), NOTIFY_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
