/**
 * A heart rate as a number is written in JSON. `72`, `72.0` and `7.2e1` are the integer 72; `72.00000000000000001` is not, though
 * JSON.parse would make 72 of it. Decided on the digits, so that no digit is lost.
 */
export const HEART_RATE_MAX = 65_535;

export type HeartRate =
  { ok: true; bpm: number } | { ok: false; code: 'heart_rate_not_integer' | 'heart_rate_out_of_range'; detail: string };

/** Reads a JSON number literal as beats a minute, 0-65535 (0 means no pulse). */
export function heartRateOf(literal: string): HeartRate {
  const match = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(literal);
  const shown = literal.slice(0, 40);
  if (match === null) return { ok: false, code: 'heart_rate_not_integer', detail: `${shown} is not a number` };
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return { ok: true, bpm: 0 };
  // The value is `significant` × 10^`power`.
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  if (power < 0) return { ok: false, code: 'heart_rate_not_integer', detail: `${shown} is not an integer` };
  const bpm = significant.length + power > 5 ? Number.POSITIVE_INFINITY : Number(significant) * 10 ** power;
  if (sign === '-' || bpm > HEART_RATE_MAX)
    return { ok: false, code: 'heart_rate_out_of_range', detail: `${shown} is not between 1 and ${HEART_RATE_MAX}` };
  return { ok: true, bpm };
}
