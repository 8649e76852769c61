/** Optional values of a strap: battery level (0x2A19), body location (0x2A38), device information. Pure; never throws. */

const BODY_LOCATIONS = ['other', 'chest', 'wrist', 'finger', 'hand', 'ear lobe', 'foot'] as const;
const TEXT_MAX = 100;

/** Body Sensor Location (0x2A38, HRS 3.2); null for values reserved for future use. */
export function parseBodySensorLocation(bytes: Uint8Array): string | null {
  return BODY_LOCATIONS[bytes[0] ?? -1] ?? null;
}

/** Battery level (0x2A19) in percent; null if the value is invalid. */
export function parseBatteryLevel(bytes: Uint8Array): number | null {
  const level = bytes[0];
  return level === undefined || level > 100 ? null : level;
}

/** A text of the Device Information service, at most 100 characters; null if it is empty. Some straps end it with a zero byte. */
export function parseText(bytes: Buffer): string | null {
  const text = bytes
    .toString('utf8')
    .replace(/\0[\s\S]*$/, '')
    .trim()
    .slice(0, TEXT_MAX);
  return text === '' ? null : text;
}
