/**
 * What the spans of a damaged file say became of a seq. A salvage reads pages of different times: a row may still be in one of them
 * although another one records that it was shipped. Shipped and evicted are final, so whichever source says so is right.
 */
import type { LedgerState } from './ledger.ts';
import type { ReadableAudit } from './salvaged-audit.ts';
import { SHIPPED } from './span-codes.ts';
import { watermarkKey } from './watermark-key.ts';

interface Seqs {
  first: number;
  last: number;
}

const isFinal = (code: string): boolean => code === SHIPPED || code.startsWith('evicted:');

/** Sorted, and without overlaps. */
function joined(spans: Seqs[]): Seqs[] {
  const disjoint: Seqs[] = [];
  for (const { first, last } of spans.sort((a, b) => a.first - b.first)) {
    const before = disjoint.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else disjoint.push({ first, last });
  }
  return disjoint;
}

function covers(spans: readonly Seqs[], seq: number): boolean {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spans[middle]?.first ?? 0) <= seq) low = middle + 1;
    else high = middle;
  }
  return (spans[low - 1]?.last ?? 0) >= seq;
}

export class SettledSeqs {
  readonly #final = new Map<number, Seqs[]>();
  readonly #dead = new Map<number, Seqs[]>();
  /** Number of a run by its gateway and name. */
  readonly #numbers = new Map<string, number>();

  constructor({ runs, spans }: ReadableAudit, state: LedgerState | undefined) {
    const add = (to: Map<number, Seqs[]>, run: number, { first, last }: Seqs): void => {
      if (last < first) return;
      const known = to.get(run);
      if (known === undefined) to.set(run, [{ first, last }]);
      else known.push({ first, last });
    };
    for (const { id, gateway, run, tail_first: first, tail_last: last } of runs) {
      this.#numbers.set(watermarkKey({ gateway, run }), id);
      add(this.#final, id, { first, last });
    }
    for (const [id, first, last] of state?.audit.hot ?? []) add(this.#final, id, { first, last });
    for (const { run, code, ...span } of spans) {
      if (isFinal(code)) add(this.#final, run, span);
      else if (code.startsWith('dead:')) add(this.#dead, run, span);
    }
    for (const byRun of [this.#final, this.#dead]) for (const [run, seqs] of byRun) byRun.set(run, joined(seqs));
  }

  numberOf(gateway: string, run: string): number | undefined {
    return this.#numbers.get(watermarkKey({ gateway, run }));
  }

  /** Shipped or evicted. */
  isFinal(run: number, seq: number): boolean {
    return covers(this.#final.get(run) ?? [], seq);
  }

  isDead(run: number, seq: number): boolean {
    return covers(this.#dead.get(run) ?? [], seq);
  }
}
