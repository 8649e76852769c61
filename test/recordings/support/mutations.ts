/** Mutations of files: what transfers, disks, editors and other programs do to them, and what an attacker would. */

export type Random = () => number;

const below = (random: Random, limit: number): number => Math.floor(random() * limit);

const TEXTS = [
  '\n',
  '\r',
  ',',
  ';',
  '"',
  '\t',
  '-',
  'NaN',
  '1e400',
  '99999999999999999999',
  '<',
  '>',
  '&',
  '{',
  '}',
  '[',
  ']',
  '\u0000',
  'é',
  '\uFEFF',
  '#',
];
const BYTES = [0, 1, 0x0e, 0x2e, 0x40, 0x60, 0x7f, 0x80, 0xff];

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const flipBit: Mutation = (bytes, random) => {
  const at = below(random, bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8));
  return bytes;
};
const setByte: Mutation = (bytes, random) => {
  bytes[below(random, bytes.length)] = BYTES[below(random, BYTES.length)] ?? 0;
  return bytes;
};
const cut: Mutation = (bytes, random) => bytes.subarray(0, below(random, bytes.length));
const cutStart: Mutation = (bytes, random) => bytes.subarray(below(random, Math.min(64, bytes.length)));
const remove: Mutation = (bytes, random) => {
  const at = below(random, bytes.length);
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(random, 40))]);
};
const insertText: Mutation = (bytes, random) => {
  const at = below(random, bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(TEXTS[below(random, TEXTS.length)] ?? ''), bytes.subarray(at)]);
};
const repeat: Mutation = (bytes, random) => {
  const at = below(random, bytes.length);
  const part = bytes.subarray(at, at + 1 + below(random, 100));
  return Buffer.concat([bytes.subarray(0, at), ...Array.from({ length: 1 + below(random, 30) }, () => part), bytes.subarray(at)]);
};
const swap: Mutation = (bytes, random) => {
  const middle = below(random, bytes.length);
  return Buffer.concat([bytes.subarray(middle), bytes.subarray(0, middle)]);
};
const fill: Mutation = (bytes, random) => {
  const at = below(random, bytes.length);
  return Buffer.from(bytes).fill(BYTES[below(random, BYTES.length)] ?? 0, at, Math.min(bytes.length, at + 1 + below(random, 64)));
};
const append: Mutation = (bytes, random) =>
  Buffer.concat([bytes, Buffer.alloc(below(random, 200), BYTES[below(random, BYTES.length)])]);

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  cut,
  cutStart,
  remove,
  insertText,
  insertText,
  repeat,
  swap,
  fill,
  append,
];

/** A copy of a file with one to four mutations. */
export function mutated(file: Uint8Array, random: Random): Buffer {
  let bytes = Buffer.from(file);
  for (let count = 1 + below(random, 4); count > 0 && bytes.length > 0; count -= 1)
    bytes = Buffer.from((MUTATIONS[below(random, MUTATIONS.length)] ?? flipBit)(bytes, random));
  return bytes;
}
