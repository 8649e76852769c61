/** Sums of the gaps of devices: how often and how long there was no data, and why. */
import type { StreamGap } from '../../contract/stream-account.ts';

export interface GapReport {
  gateway: string;
  device: string;
  cause: string;
  count: number;
  seconds: number;
}

export class GapSums {
  readonly #sums = new Map<string, GapReport>();
  add(gateway: string, device: string, gaps: readonly StreamGap[]): void {
    for (const { from, to, cause } of gaps) {
      const key = `${gateway}\n${device}\n${cause}`;
      const sum = this.#sums.get(key) ?? { gateway, device, cause, count: 0, seconds: 0 };
      sum.count += 1;
      sum.seconds += Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
      this.#sums.set(key, sum);
    }
  }

  report(): GapReport[] {
    return [...this.#sums.values()].map((sum) => ({ ...sum, seconds: Math.round(sum.seconds) }));
  }
}
