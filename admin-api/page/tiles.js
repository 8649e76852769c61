/** How tiles fill a screen, and what a heart rate is to a person: pure functions. */

/** Lower limits of zones 1 to 5, as shares of the highest heart rate. */
const ZONES = [0.5, 0.6, 0.7, 0.8, 0.9];
/** Width of a tile by its height, at best. */
const RATIO = 1.5;

/**
 * The grid in which tiles get largest, without scrolling.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @returns {{ columns: number, rows: number }}
 */
export function gridOf(count, width, height) {
  let best = { columns: 1, rows: Math.max(1, count), size: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    // The height of the largest tile of that ratio that fits into a cell.
    const size = Math.min(width / columns / RATIO, height / rows);
    if (size > best.size) best = { columns, rows, size };
  }
  return { columns: best.columns, rows: best.rows };
}

/**
 * The zone, 0 (below all) to 5, and the share in percent; undefined without a highest heart rate.
 * @param {number} bpm
 * @param {number | null} highest
 */
export function zoneOf(bpm, highest) {
  if (highest === null) return undefined;
  const share = bpm / highest;
  return { zone: ZONES.filter((limit) => share >= limit).length, percent: Math.round(share * 100) };
}
