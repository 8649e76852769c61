/**
 * A session as TCX (Garmin's TrainingCenterDatabase v2), which most programs import. RR intervals, for which TCX has no place, stand in an
 * extension of ours that others ignore.
 */
import type { Session } from './session.ts';

const NAMESPACE = 'http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2';
export const EXTENSION_NAMESPACE = 'urn:hr-gateway:recording:1';

const iso = (ms: number): string => new Date(ms).toISOString();
const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** Lines of the file, each with its line feed. */
export function* tcxLines({ device, readings }: Session): Generator<string> {
  const first = readings[0]?.atMs ?? 0;
  const last = readings.at(-1)?.atMs ?? first;
  yield '<?xml version="1.0" encoding="UTF-8"?>\n';
  yield `<TrainingCenterDatabase xmlns="${NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n`;
  yield `<Activities><Activity Sport="Other"><Id>${iso(first)}</Id>\n`;
  yield `<Lap StartTime="${iso(first)}"><TotalTimeSeconds>${(last - first) / 1000}</TotalTimeSeconds><DistanceMeters>0</DistanceMeters>`;
  yield '<Calories>0</Calories><Intensity>Active</Intensity><TriggerMethod>Manual</TriggerMethod><Track>\n';
  for (const { atMs, bpm, rrMs } of readings) {
    const intervals =
      rrMs.length === 0
        ? ''
        : `<Extensions><RRIntervalsMs xmlns="${EXTENSION_NAMESPACE}">${rrMs.join(' ')}</RRIntervalsMs></Extensions>`;
    yield `<Trackpoint><Time>${iso(atMs)}</Time><HeartRateBpm><Value>${bpm}</Value></HeartRateBpm>${intervals}</Trackpoint>\n`;
  }
  yield '</Track></Lap>\n';
  yield `<Creator xsi:type="Device_t"><Name>${escaped(device)}</Name><UnitId>0</UnitId><ProductID>0</ProductID>`;
  yield '<Version><VersionMajor>1</VersionMajor><VersionMinor>0</VersionMinor></Version></Creator>\n';
  yield '</Activity></Activities></TrainingCenterDatabase>\n';
}
