/**
 * A session as CSV, with the columns by which GoldenCheetah knows its own files (CsvRideFile.cpp), and behind them what it does not have:
 * the exact time and the RR intervals, from which our own replay gets the session back as it was. GoldenCheetah takes the start from the
 * file's name, and RR intervals from a second file that ends in `.rr`.
 */
import type { Session } from './session.ts';

const COLUMNS_OF_GOLDEN_CHEETAH =
  'secs,cad,hr,km,kph,nm,watts,alt,lon,lat,headwind,slope,temp,interval,lrbalance,lte,rte,lps,rps,smo2,thb,o2hb,hhb,target';
/** Columns 4 to 24: nothing measured; an empty temperature is none. */
const NOTHING_ELSE = '0,0,0,0,0,0,0,0,0,,0,0,0,0,0,0,0,0,0,0,0';

const seconds = (ms: number): string => String(Number((ms / 1000).toFixed(3)));

/** Lines of the CSV file, each with its line feed. */
export function* csvLines({ readings }: Session): Generator<string> {
  yield `${COLUMNS_OF_GOLDEN_CHEETAH},timestamp,rr_ms\n`;
  const zero = readings[0]?.atMs ?? 0;
  for (const { atMs, bpm, rrMs } of readings)
    yield `${seconds(atMs - zero)},0,${bpm},${NOTHING_ELSE},${new Date(atMs).toISOString()},${rrMs.join(' ')}\n`;
}

/** Lines of GoldenCheetah's file of RR intervals; only the header if there are none. */
export function* rrLines({ readings }: Session): Generator<string> {
  yield 'secs, hr, msecs\n';
  const zero = readings[0]?.atMs ?? 0;
  for (const { atMs, bpm, rrMs } of readings) for (const ms of rrMs) yield `${seconds(atMs - zero)},${bpm},${ms}\n`;
}
