/**
 * Device names of other clients: one topic level of 1-64 code points, without control, format or line-separator characters, not `.` or
 * `..`. A topic that was not valid UTF-8 holds U+FFFD by the time it comes here, and two such topics may be the same text: refused too.
 */
const NAME_MAX_CODE_POINTS = 64;
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Surrogate}\u{fffd}]/u;

/** The device of `hr/<device>/bpm`, or undefined for any other topic and for names that are not allowed. */
export function adoptedDeviceOf(topic: string): string | undefined {
  const levels = topic.split('/');
  const device = levels[1];
  if (levels.length !== 3 || levels[0] !== 'hr' || levels[2] !== 'bpm' || device === undefined) return undefined;
  if (device === '' || device === '.' || device === '..' || FORBIDDEN.test(device)) return undefined;
  return Array.from(device).length <= NAME_MAX_CODE_POINTS ? device : undefined;
}
