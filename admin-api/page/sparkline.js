/** Ten minutes of heart rate as paths of a 600 × 100 drawing, one unit a second; silences stay open and are shaded. */

export const WINDOW_MS = 600_000;
/** A silence longer than this is a gap. */
const GAP_MS = 4500;
const WIDTH = 600;
const HEIGHT = 100;

/**
 * The paths of a list of readings.
 * @param {readonly (readonly [atMs: number, rate: number, ...rest: unknown[]])[]} list oldest first
 * @param {number} now in ms
 * @returns {{line: string, area: string, gaps: [number, number][], low: number | undefined, high: number | undefined}}
 */
export function sparkline(list, now) {
  const from = now - WINDOW_MS;
  const shown = list.filter(([at]) => at >= from);
  if (shown.length === 0) return { line: '', area: '', gaps: [], low: undefined, high: undefined };
  const rates = shown.map(([, rate]) => rate);
  const low = Math.min(...rates);
  const high = Math.max(...rates);
  // At least 20 bpm from bottom to top: a quiet heart is a quiet line.
  const middle = (low + high) / 2;
  const span = Math.max(20, (high - low) * 1.15);
  /** @param {number} at */
  const x = (at) => Math.min(WIDTH, Math.max(0, (WIDTH * (at - from)) / WINDOW_MS)).toFixed(1);
  /** @param {number} rate */
  const y = (rate) => (HEIGHT * (0.5 - (rate - middle) / span)).toFixed(1);
  /** @type {[number, number][]} */
  const gaps = [];
  let line = '';
  let area = '';
  let before = Number.NEGATIVE_INFINITY;
  const close = () => {
    if (line !== '') area += `L${x(before)} ${HEIGHT}Z`;
  };
  for (const [at, rate] of shown) {
    const point = `${x(at)} ${y(rate)}`;
    if (at - before > GAP_MS) {
      close();
      if (line !== '') gaps.push([Number(x(before)), Number(x(at))]);
      line += `M${point}`;
      area += `M${x(at)} ${HEIGHT}L${point}`;
    } else {
      line += `L${point}`;
      area += `L${point}`;
    }
    before = at;
  }
  close();
  if (now - before > GAP_MS) gaps.push([Number(x(before)), WIDTH]);
  return { line, area, gaps, low, high };
}
