/**
 * UUIDs are 128-bit values; 16-bit and 32-bit ones are aliases of values over the Bluetooth Base UUID (Core, volume 3 part B, 2.5.1).
 * Peripherals may use either form, so both are brought to one: 4 hexadecimal digits if the value has a 16-bit alias, else 32.
 */
const BASE = '00001000800000805f9b34fb';

/** Accepts 4, 8 or 32 hexadecimal digits, with or without dashes, and digits that were stripped of leading zeros. */
export function canonicalUuid(text: string): string {
  const digits = text.toLowerCase().replaceAll('-', '');
  const full = digits.length <= 8 ? digits.padStart(8, '0') + BASE : digits;
  return full.startsWith('0000') && full.endsWith(BASE) ? full.slice(4, 8) : full;
}

/** A UUID as it is sent: little-endian, 2, 4 or 16 bytes. */
export function uuidOfBytes(bytes: Uint8Array): string {
  return canonicalUuid(Buffer.from(bytes).reverse().toString('hex'));
}
