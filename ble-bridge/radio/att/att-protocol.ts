/** The Attribute Protocol's PDUs and errors, as far as a client needs them (Core, volume 3 part F, 3.4). Pure. */

/** Opcodes. An answer is its request's opcode plus one. */
export const ATT = {
  error: 0x01,
  mtuRequest: 0x02,
  mtuResponse: 0x03,
  findInformation: 0x04,
  readByType: 0x08,
  read: 0x0a,
  readBlob: 0x0c,
  readByGroupType: 0x10,
  write: 0x12,
  notification: 0x1b,
  indication: 0x1d,
  confirmation: 0x1e,
} as const;

/** Errors that decide what happens next; all others are only reported. */
export const ATT_ERROR = {
  invalidHandle: 0x01,
  insufficientAuthentication: 0x05,
  requestNotSupported: 0x06,
  attributeNotFound: 0x0a,
  insufficientEncryption: 0x0f,
} as const;

const ERROR_NAMES: Record<number, string> = {
  0x01: 'invalid handle',
  0x02: 'read not permitted',
  0x03: 'write not permitted',
  0x04: 'invalid PDU',
  0x05: 'insufficient authentication',
  0x06: 'request not supported',
  0x07: 'invalid offset',
  0x08: 'insufficient authorization',
  0x09: 'prepare queue full',
  0x0a: 'attribute not found',
  0x0b: 'attribute not long',
  0x0c: 'encryption key too short',
  0x0d: 'invalid attribute value length',
  0x0e: 'unlikely error',
  0x0f: 'insufficient encryption',
  0x10: 'unsupported group type',
  0x11: 'insufficient resources',
  0x12: 'database out of sync',
  0x13: 'value not allowed',
  0xfc: 'write request rejected',
  0xfd: 'CCCD improperly configured',
  0xfe: 'procedure already in progress',
  0xff: 'out of range',
};

/** `0x05 (insufficient authentication)`. Names: Core, volume 3 part F, 3.4.1.1, and the Core Specification Supplement, part B. */
export function attErrorText(code: number): string {
  const name = ERROR_NAMES[code] ?? (code >= 0x80 && code <= 0x9f ? 'application error' : 'reserved');
  return `0x${code.toString(16).padStart(2, '0')} (${name})`;
}

function pdu(opcode: number, ...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(1 + 2 * numbers.length);
  bytes.writeUInt8(opcode, 0);
  for (const [index, number] of numbers.entries()) bytes.writeUInt16LE(number, 1 + 2 * index);
  return bytes;
}

/** Requests. Handles and UUIDs are 16-bit numbers. */
export const encodeReadByGroupType = (start: number, end: number, uuid: number): Buffer =>
  pdu(ATT.readByGroupType, start, end, uuid);
export const encodeReadByType = (start: number, end: number, uuid: number): Buffer => pdu(ATT.readByType, start, end, uuid);
export const encodeFindInformation = (start: number, end: number): Buffer => pdu(ATT.findInformation, start, end);
export const encodeRead = (handle: number): Buffer => pdu(ATT.read, handle);
export const encodeReadBlob = (handle: number, offset: number): Buffer => pdu(ATT.readBlob, handle, offset);
export const encodeMtuRequest = (mtu: number): Buffer => pdu(ATT.mtuRequest, mtu);
export const encodeMtuResponse = (mtu: number): Buffer => pdu(ATT.mtuResponse, mtu);
export const encodeConfirmation = (): Buffer => pdu(ATT.confirmation);

export function encodeWrite(handle: number, value: Uint8Array): Buffer {
  return Buffer.concat([pdu(ATT.write, handle), value]);
}

export function encodeError(request: number, handle: number, code: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(ATT.error, 0);
  bytes.writeUInt8(request, 1);
  bytes.writeUInt16LE(handle, 2);
  bytes.writeUInt8(code, 4);
  return bytes;
}

/**
 * The entries of an answer that consists of a length and equal entries (read by type, read by group type). Undefined if the answer
 * has no whole entry or entries of a length that is not in `lengths`.
 */
export function entriesOf(answer: Buffer, lengths: readonly number[]): Buffer[] | undefined {
  const length = answer[1];
  if (length === undefined || !lengths.includes(length)) return undefined;
  const entries: Buffer[] = [];
  for (let at = 2; at + length <= answer.length; at += length) entries.push(answer.subarray(at, at + length));
  return entries.length === 0 ? undefined : entries;
}
