/**
 * RFC 3339 timestamps with offset, checked field by field: Date.parse takes 2026-02-30 for 2 March, and a time without offset for a
 * local one.
 */
export type TimestampFaultCode = 'timestamp_invalid' | 'timestamp_without_offset' | 'timestamp_impossible';
export type Timestamp =
  | {
      ok: true;
      /** UTC, with milliseconds and `Z`. */
      utc: string;
      /** Digits below a millisecond were cut off. */
      truncated: boolean;
    }
  | { ok: false; code: TimestampFaultCode; detail: string };

// RFC 3339 section 5.6; its note allows a space and lower case letters.
const DATE_TIME = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,30}))?(.*)$/s;
const OFFSET = /^(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
const MINUTE_MS = 60_000;

const daysIn = (year: number, month: number): number =>
  month === 2 && (year % 4 !== 0 || (year % 100 === 0 && year % 400 !== 0))
    ? 28
    : ([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0);

const isRealTime = (hour: number, minute: number, second: number): boolean => hour <= 23 && minute <= 59 && second <= 59;

/** How far local time is ahead of UTC; undefined for what is no offset, NaN for an impossible one. */
function aheadMsOf(zone: string): number | undefined {
  const offset = OFFSET.exec(zone);
  if (offset === null) return undefined;
  const [hours, minutes] = [Number(offset[2] ?? 0), Number(offset[3] ?? 0)];
  if (!isRealTime(hours, minutes, 0)) return Number.NaN;
  return (hours * 60 + minutes) * MINUTE_MS * (offset[1] === '-' ? -1 : 1);
}

/** Reads a timestamp and normalises it to UTC. */
export function timestampOf(text: string): Timestamp {
  const shown = JSON.stringify(text.slice(0, 40));
  const match = DATE_TIME.exec(text);
  const zone = match?.[8] ?? '';
  if (match !== null && zone === '') return { ok: false, code: 'timestamp_without_offset', detail: `${shown} has no offset` };
  const aheadMs = aheadMsOf(zone);
  if (match === null || aheadMs === undefined)
    return { ok: false, code: 'timestamp_invalid', detail: `${shown} is not an RFC 3339 timestamp` };
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const fraction = match[7] ?? '';
  const local = new Date(0);
  // Not Date.UTC: it takes the years 0-99 for 1900-1999.
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second, Number(fraction.slice(0, 3).padEnd(3, '0')));
  const utc = new Date(local.getTime() - aheadMs);
  const isReal = day >= 1 && day <= daysIn(year, month) && isRealTime(hour, minute, second);
  const utcYear = utc.getUTCFullYear();
  if (!isReal || !(utcYear >= 0 && utcYear <= 9999))
    return { ok: false, code: 'timestamp_impossible', detail: `${shown} is not a real date and time` };
  return { ok: true, utc: utc.toISOString(), truncated: /[1-9]/.test(fraction.slice(3)) };
}
