/** Counters, gauges and histograms in the form that crosses MQTT (contract/metrics.ts); the admin API turns them into Prometheus text. */
import type { HistogramMetric, ValuedMetric } from '../../contract/metrics.ts';

type Labels = Readonly<Record<string, string>>;

function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

class Valued {
  protected readonly values = new Map<string, { labels: Labels; value: number }>();
  readonly #name: string;
  readonly #help: string;
  readonly #type: 'counter' | 'gauge';

  constructor(name: string, help: string, type: 'counter' | 'gauge') {
    this.#name = name;
    this.#help = help;
    this.#type = type;
  }

  protected put(labels: Labels, change: (value: number) => number): void {
    const key = keyOf(labels);
    const entry = this.values.get(key);
    if (entry === undefined) this.values.set(key, { labels, value: change(0) });
    else entry.value = change(entry.value);
  }

  read(): ValuedMetric {
    const values = [...this.values.values()].map(({ labels, value }) => ({ labels: { ...labels }, value }));
    return {
      name: this.#name,
      help: this.#help,
      type: this.#type,
      values: values.length === 0 ? [{ labels: {}, value: 0 }] : values,
    };
  }
}

/** Only increases within a process. The name ends in `_total`. */
export class Counter extends Valued {
  constructor(name: string, help: string) {
    super(name, help, 'counter');
  }
  add(amount = 1, labels: Labels = {}): void {
    this.put(labels, (value) => value + amount);
  }
  /** For counts that are kept elsewhere, such as the ledger's. */
  setTo(total: number, labels: Labels = {}): void {
    this.put(labels, () => total);
  }
}

export class Gauge extends Valued {
  constructor(name: string, help: string) {
    super(name, help, 'gauge');
  }
  set(value: number, labels: Labels = {}): void {
    this.put(labels, () => value);
  }
}

/** Cumulative buckets as in Prometheus; `bounds` ascending, in the unit that the name ends with. */
export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number, times = 1): void {
    let index = this.#bounds.findIndex((bound) => value <= bound);
    if (index < 0) index = this.#bounds.length;
    this.#counts[index] = (this.#counts[index] ?? 0) + times;
    this.#sum += value * times;
  }

  read(): HistogramMetric {
    let total = 0;
    const counts = this.#counts.map((count) => (total += count));
    return { name: this.#name, help: this.#help, type: 'histogram', bounds: [...this.#bounds], counts, sum: this.#sum };
  }
}
