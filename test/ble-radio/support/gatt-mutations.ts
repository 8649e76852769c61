/** What a faulty or hostile peripheral may send in place of the answer that the specification demands. */
export type Random = () => number;

export const below = (random: Random, limit: number): number => Math.floor(random() * limit);

export function randomBytes(random: Random, lengthMax: number): Buffer {
  return Buffer.from(Array.from({ length: below(random, lengthMax + 1) }, () => below(random, 256)));
}

/** Whether a PDU is of the kind that answers a request: an odd opcode, and not a value. */
export const isAnswer = (pdu: Buffer): boolean => pdu.length > 0 && (pdu[0] ?? 0) % 2 === 1 && pdu[0] !== 0x1b && pdu[0] !== 0x1d;

const ERROR_CODES = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0a, 0x0c, 0x0e, 0x0f, 0x11, 0x80, 0xfd, 0xff];

/** An answer, or what is sent instead; empty: nothing is. */
type Mutation = (answer: Buffer, request: Buffer, random: Random, earlier: readonly Buffer[]) => Buffer[];

function changed(answer: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(answer);
  for (let count = 1 + below(random, 3); count > 0 && bytes.length > 0; count -= 1)
    bytes[below(random, bytes.length)] = below(random, 256);
  return bytes;
}

/** An answer as if there were always more: one entry, with the first handle that was asked for, or a full part of a value. */
export function creeping(request: Buffer, random: Random): Buffer {
  const start = request.subarray(1, 3);
  const uuid = Buffer.of(below(random, 2) === 0 ? 0x0d : below(random, 256), 0x18);
  switch (request[0]) {
    case 0x10:
      return Buffer.concat([Buffer.of(0x11, 6), start, start, uuid]);
    case 0x08:
      return Buffer.concat([Buffer.of(0x09, 7), start, Buffer.of(0x10), start, Buffer.of(0x37, 0x2a)]);
    case 0x04:
      return Buffer.concat([Buffer.of(0x05, 1), start, Buffer.of(0x00, 0x29)]);
    default:
      return Buffer.concat([Buffer.of((request[0] ?? 0) + 1), Buffer.alloc(22, 0x61)]);
  }
}

const MUTATIONS: readonly Mutation[] = [
  (answer, _request, random) => [answer.subarray(0, below(random, answer.length + 1))],
  (answer, _request, random) => [Buffer.concat([answer, randomBytes(random, 20)])],
  (answer, _request, random) => [changed(answer, random)],
  (answer, _request, random) => [changed(answer, random)],
  (answer, _request, random) => [Buffer.concat([Buffer.of(below(random, 256)), answer.subarray(1)])],
  (answer, _request, random) => [Buffer.concat([answer.subarray(0, 1), Buffer.of(below(random, 30)), answer.subarray(2)])],
  (answer) => [answer.subarray(0, 1)],
  (answer) => [answer, answer],
  (_answer, request, random) => [
    Buffer.of(0x01, request[0] ?? 0, request[1] ?? 0, request[2] ?? 0, ERROR_CODES[below(random, ERROR_CODES.length)] ?? 0),
  ],
  (_answer, request, random) => [Buffer.of(0x01, request[0] ?? 0, 0, 0, below(random, 2) === 0 ? 0x05 : 0x0f)],
  (_answer, request, random) => [Buffer.of(0x01, request[0] ?? 0, 0, 0).subarray(0, 1 + below(random, 4))],
  (_answer, request, random) => [creeping(request, random)],
  (_answer, request, random) => [creeping(request, random)],
  (_answer, request) => [request],
  (_answer, _request, random) => [randomBytes(random, 40)],
  (answer, _request, random, earlier) => [earlier[below(random, earlier.length)] ?? answer],
  (answer, _request, random) => [Buffer.concat([Buffer.of(0x1b), randomBytes(random, 22)]), answer],
  (answer, _request, random) => [Buffer.concat([Buffer.of(0x1d), randomBytes(random, 22)]), answer],
  (answer, _request, random) => [Buffer.concat([Buffer.of(2 * below(random, 128)), randomBytes(random, 6)]), answer],
  (answer) => [answer, Buffer.of(0x1b, 0x0c, 0x00, 0x06, 0x46)],
  () => [],
];

/** Mutates an answer; `earlier` are answers to earlier requests. */
export function mutated(answer: Buffer, request: Buffer, random: Random, earlier: readonly Buffer[]): Buffer[] {
  const mutation = MUTATIONS[below(random, MUTATIONS.length)];
  return mutation === undefined ? [answer] : mutation(answer, request, random, earlier);
}
