/** The part of Node's Buffer that `contract/` names: the page is checked without Node's types, so that it cannot use Node by mistake. */
interface Buffer extends Uint8Array {
  toString(encoding?: 'utf8'): string;
}
declare const Buffer: { byteLength(text: string): number };
