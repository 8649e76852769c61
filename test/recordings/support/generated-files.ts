/** Generated recordings of every kind, for comparison with an independent decoder and as seeds of mutations. Reproducible by seed. */
import { csvLines } from '../../../recordings/export/csv-export.ts';
import type { Session } from '../../../recordings/export/session.ts';
import { tcxLines } from '../../../recordings/export/tcx-export.ts';
import { seeded } from '../../support/seeded.ts';
import { BASE, beatsPart, concatenated, FitWriter, T0, type DeveloperField, type Field } from './fit-writer.ts';

export type Random = () => number;

export interface GeneratedFile {
  name: string;
  kind: 'fit' | 'csv' | 'tcx' | 'gpx' | 'jsonl';
  bytes: Uint8Array;
}

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const oneOf = <T>(random: Random, ...choices: [T, ...T[]]): T => choices[below(random, choices.length)] ?? choices[0];

/** A message that nobody needs, with fields of any type and size. */
function oddMessage(random: Random, writer: FitWriter): void {
  const fields: Field[] = Array.from({ length: below(random, 5) }, () => ({
    number: below(random, 250),
    base: oneOf(random, BASE.enum, BASE.uint8, BASE.uint16, BASE.uint32, BASE.byte, BASE.text),
    value: Uint8Array.from({ length: 1 + below(random, 9) }, () => 0x20 + below(random, 90)),
  }));
  writer.message(4 + below(random, 3), oneOf(random, 21, 23, 34, 49, 0xff10), fields);
}

/** One part of a FIT file: records, intervals, compressed times, developer fields, monitoring, in any mix. */
function fitPart(random: Random, from: number): FitWriter {
  const writer = new FitWriter({
    bigEndian: random() < 0.4,
    headerSize: oneOf(random, 12, 14),
    protocol: oneOf(random, 0, 0x10, 0x20),
  }).fileId(oneOf(random, 1, 23, 123, 32), below(random, 3000));
  const hasDeveloperRate = random() < 0.3;
  const hasDeveloperOther = random() < 0.3;
  if (hasDeveloperRate || hasDeveloperOther) {
    writer.message(7, 207, [{ number: 3, base: BASE.uint8, value: 0 }]);
    const describe = (number: number, native: number, base: number): void => {
      writer.message(8, 206, [
        { number: 0, base: BASE.uint8, value: 0 },
        { number: 1, base: BASE.uint8, value: number },
        { number: 2, base: BASE.uint8, value: base },
        { number: 3, base: BASE.text, value: Uint8Array.from([...Buffer.from(number === 7 ? 'hr' : 'load'), 0]) },
        { number: 14, base: BASE.uint16, value: 20 },
        { number: 15, base: BASE.uint8, value: native },
      ]);
    };
    if (hasDeveloperRate) describe(7, 3, BASE.uint8);
    if (hasDeveloperOther) describe(8, 0xff, BASE.uint8);
  }
  let at = from;
  const withIntervals = random() < 0.5;
  const rateBase = oneOf(random, BASE.uint8, BASE.uint8, BASE.uint16);
  // Compressed times are relative to the last full one.
  let isCompressed = false;
  writer.record(at, 90);
  for (let index = 0; index < 5 + below(random, 40); index += 1) {
    const step = isCompressed ? below(random, 31) : oneOf(random, 0, 1, 1, 1, 2, 7, 400);
    at += step;
    if (random() < 0.2) oddMessage(random, writer);
    if (withIntervals && random() < 0.7)
      writer.hrv(...Array.from({ length: 1 + below(random, 5) }, () => 400 + below(random, 900)));
    const none = rateBase === BASE.uint16 ? 0xffff : 0xff;
    const rate: Field = { number: 3, base: rateBase, value: random() < 0.1 ? none : 50 + below(random, 150) };
    const developer: DeveloperField[] = [
      ...(hasDeveloperOther ? [{ number: 8, index: 0, bytes: Uint8Array.of(below(random, 200)) }] : []),
      ...(hasDeveloperRate ? [{ number: 7, index: 0, bytes: Uint8Array.of(60 + below(random, 60)) }] : []),
    ];
    if (isCompressed) writer.message(3, 20, [rate], { offset: at & 0x1f, developer });
    else writer.message(1, 20, [{ number: 253, base: BASE.uint32, value: at }, rate], { developer });
    if (random() < 0.1) isCompressed = !isCompressed;
  }
  return writer;
}

function monitoringPart(random: Random, from: number): FitWriter {
  const writer = new FitWriter({ bigEndian: random() < 0.5 }).fileId();
  writer.message(1, 103, [{ number: 253, base: BASE.uint32, value: from }]);
  let at = from;
  for (let index = 0; index < 20; index += 1) {
    at += 60 * (1 + below(random, 30));
    if (random() < 0.2) writer.message(2, 55, [{ number: 253, base: BASE.uint32, value: at }]);
    writer.message(3, 55, [
      { number: 26, base: BASE.uint16, value: at & 0xffff },
      { number: 27, base: BASE.uint8, value: 50 + below(random, 60) },
    ]);
  }
  return writer;
}

/** Beats that a strap stored, far from any record. */
function strapPart(random: Random, from: number): FitWriter {
  let tick = below(random, 1_000_000);
  const ticks = Array.from(
    { length: 9 + 8 * below(random, 12) },
    () => (tick += 400 + below(random, random() < 0.1 ? 3600 : 900)),
  );
  return beatsPart(
    from,
    ticks,
    ticks.map(() => 60 + below(random, 100)),
  );
}

export function generatedFit(seed: number): GeneratedFile {
  const random = seeded(seed);
  const parts = Array.from({ length: oneOf(random, 1, 1, 1, 2, 3) }, (_, index) =>
    oneOf(random, fitPart, fitPart, monitoringPart, strapPart)(random, T0 + index * 200_000).close(),
  );
  return { name: `fit-${seed}`, kind: 'fit', bytes: concatenated(...parts) };
}

/** A session with what the kind can hold. */
function session(random: Random, most: number): Session {
  let atMs = 1_700_000_000_000 + below(random, 1_000_000_000);
  const withIntervals = random() < 0.6;
  return {
    device: 'polar-h10-a1b2c3',
    readings: Array.from({ length: 1 + below(random, most) }, () => {
      atMs += oneOf(random, 1000, 1000, 987, 1013, 60_000);
      return {
        atMs,
        bpm: 40 + below(random, 160),
        rrMs: withIntervals ? Array.from({ length: below(random, 4) }, () => (below(random, 1500) * 1000) / 1024) : [],
      };
    }),
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();

function csvFile(random: Random, most: number): string {
  const separator = oneOf(random, ',', ';', '\t');
  const comma = separator === ';' && random() < 0.5;
  const number = (value: number): string => (comma ? String(value).replace('.', ',') : String(value));
  const end = oneOf(random, '\n', '\r\n');
  const { readings } = session(random, most);
  const lines = readings.map(({ atMs, bpm, rrMs }) =>
    [iso(atMs), random() < 0.1 ? '' : number(bpm), rrMs.map(number).join(' ')].join(separator),
  );
  const mark = random() < 0.3 ? '\uFEFF' : '';
  return `${mark}${['timestamp', 'heart_rate', 'rr_ms'].join(separator)}${end}${lines.join(end)}${end}`;
}

function gpxFile(random: Random, most: number): string {
  const points = session(random, most).readings.map(
    ({ atMs, bpm }) =>
      `<trkpt lat="47" lon="8"><time>${iso(atMs)}</time>` +
      (random() < 0.1 ? '' : `<extensions><g:TrackPointExtension><g:hr>${bpm}</g:hr></g:TrackPointExtension></extensions>`) +
      '</trkpt>',
  );
  return (
    '<?xml version="1.0"?><gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1" ' +
    `xmlns:g="http://www.garmin.com/xmlschemas/TrackPointExtension/v1"><trk><trkseg>${points.join('\n')}</trkseg></trk></gpx>\n`
  );
}

function jsonLines(random: Random, most: number): string {
  const { device, readings } = session(random, most);
  const records = readings.map(({ atMs, bpm, rrMs }, index) =>
    JSON.stringify({
      timestamp: iso(atMs),
      heart_rate: bpm,
      device,
      gateway: 'box',
      run: '3f9a1c2e00b7d415',
      seq: index + 1,
      rr_intervals_ms: rrMs,
    }),
  );
  return `${records.join('\n')}\n`;
}

/** `most`: the most readings. */
export function generatedText(kind: 'csv' | 'tcx' | 'gpx' | 'jsonl', seed: number, most = 60): GeneratedFile {
  const random = seeded(seed);
  const texts = {
    csv: () => csvFile(random, most),
    tcx: () => [...tcxLines(session(random, most))].join(''),
    gpx: () => gpxFile(random, most),
    jsonl: () => jsonLines(random, most),
  };
  return { name: `${kind}-${seed}`, kind, bytes: Buffer.from(texts[kind]()) };
}

/** Our own export. */
export function generatedExport(seed: number): { session: Session; csv: string; tcx: string } {
  const made = session(seeded(seed), 60);
  return { session: made, csv: [...csvLines(made)].join(''), tcx: [...tcxLines(made)].join('') };
}
