/** What accounts claim of the seqs of a run: for each seq, the claim of the latest account that covers it. */
import type { Interval } from './seq-set.ts';

/** `shipped`, or outcome and cause: `evicted:queue_full`. */
export interface Claim extends Interval {
  what: string;
  /** Of the account. */
  at: number;
}

export class Claims {
  /** In order, not overlapping. */
  #claims: Claim[] = [];

  get last(): number {
    return this.#claims.at(-1)?.to ?? 0;
  }

  /** The first claim that ends at or above a seq. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#claims[middle]?.to ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Replaces older claims about these seqs, and those of the same time. */
  add(claim: Claim): void {
    const start = this.#indexOf(claim.from);
    const merged: Claim[] = [];
    let from = claim.from;
    let end = start;
    for (let other = this.#claims[end]; other !== undefined && other.from <= claim.to; other = this.#claims[end]) {
      end += 1;
      if (other.at > claim.at) {
        if (from < other.from) merged.push({ ...claim, from, to: other.from - 1 });
        merged.push(other);
        from = other.to + 1;
        continue;
      }
      if (other.from < claim.from) merged.push({ ...other, to: claim.from - 1 });
      if (other.to <= claim.to) continue;
      merged.push({ ...claim, from }, { ...other, from: claim.to + 1 });
      from = claim.to + 1;
    }
    if (from <= claim.to) merged.push({ ...claim, from });
    this.#claims.splice(start, end - start, ...merged);
  }

  /** An interval as parts of one claim each; `undefined`: no account covers it. */
  *about({ from, to }: Interval): Generator<Interval & { what: string | undefined }> {
    let next = from;
    for (let index = this.#indexOf(from); next <= to; index += 1) {
      const claim = this.#claims[index];
      if (claim === undefined || claim.from > to) break;
      if (claim.from > next) yield { from: next, to: claim.from - 1, what: undefined };
      const last = Math.min(claim.to, to);
      yield { from: Math.max(claim.from, next), to: last, what: claim.what };
      next = last + 1;
    }
    if (next <= to) yield { from: next, to, what: undefined };
  }
}
