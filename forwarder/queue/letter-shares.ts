/** Whose dead letters are kept: each owner's (owners.ts) with its size, oldest first. At the limit the largest share loses its oldest. */
import { ownerNameOf } from './owners.ts';

/** What a letter costs beside its payload. */
export const LETTER_OVERHEAD_BYTES = 400;

export interface SharedLetter {
  id: number;
  device: string;
  publisher: string | null;
  /** When it arrived, if it is what another client published. */
  arrivedAt: string | null;
  /** What was accepted as a reading is refused as it is: it names its publisher. Null if `arrivedAt` is not. */
  payload: string | null;
  bytes: number;
}

interface Share {
  bytes: number;
  letters: Map<number, number>;
}

function ownerOf({ device, publisher, arrivedAt, payload }: SharedLetter): string {
  if (arrivedAt !== null || publisher !== null) return `publisher ${publisher ?? ''}`;
  return ownerNameOf(device, payload ?? '');
}

export class LetterShares {
  readonly #shares = new Map<string, Share>();
  readonly #owners = new Map<number, string>();

  add(letter: SharedLetter): void {
    const owner = ownerOf(letter);
    let share = this.#shares.get(owner);
    if (share === undefined) this.#shares.set(owner, (share = { bytes: 0, letters: new Map() }));
    const bytes = letter.bytes + LETTER_OVERHEAD_BYTES;
    share.letters.set(letter.id, bytes);
    share.bytes += bytes;
    this.#owners.set(letter.id, owner);
  }

  remove(id: number): void {
    const owner = this.#owners.get(id) ?? '';
    this.#owners.delete(id);
    const share = this.#shares.get(owner);
    if (share === undefined) return;
    share.bytes -= share.letters.get(id) ?? 0;
    share.letters.delete(id);
    if (share.letters.size === 0) this.#shares.delete(owner);
  }

  /** The oldest letter of the largest share; of equal ones, the oldest. Undefined if there are none. */
  get next(): number | undefined {
    let largest: { bytes: number; id: number } | undefined;
    for (const { bytes, letters } of this.#shares.values()) {
      const [id] = letters.keys();
      if (id === undefined) continue;
      if (largest === undefined || bytes > largest.bytes || (bytes === largest.bytes && id < largest.id)) largest = { bytes, id };
    }
    return largest?.id;
  }
}
