/** The last readings of a strap as a file: a table that spreadsheets read, and that `hr-gateway replay` reads back. */
import type { RecentReading } from './answer-schemas.ts';

/** A line per reading, oldest first; the RR intervals of a reading are separated by spaces. */
export function csvOf(readings: readonly RecentReading[]): string {
  const lines = readings.map(
    ({ timestamp, heart_rate, sensor_contact, rr_intervals_ms: intervals }) =>
      `${timestamp},${heart_rate},${sensor_contact ?? ''},${intervals.join(' ')}\n`,
  );
  return `timestamp,heart_rate,sensor_contact,rr_ms\n${lines.join('')}`;
}

/** The header `Content-Disposition` (RFC 6266): a file that is named after the strap and its first reading. */
export function attachmentOf(device: string, firstAt: string | undefined): string {
  const start = firstAt === undefined ? '' : `_${firstAt.slice(0, 19).replaceAll(':', '-')}Z`;
  const name = `${device}${start}.csv`;
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${name.replace(/[^\w.-]/g, '_')}"; filename*=UTF-8''${encoded}`;
}
