/** What is in a recording, as lines for a person, before it is replayed. */
import { counted, type Recording } from './recording.ts';
import { accountLine, type ReplayPlan } from './replay-plan.ts';

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** `1 h 5 min`: the two largest units; below 10 s with one decimal. */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${Number((ms / 1000).toFixed(1))} s`;
  const rounded = Math.round(ms / 1000) * 1000;
  const parts: string[] = [];
  let rest = rounded;
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count.toLocaleString('en-US')} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

const GAPS_NAMED = 3;

/** `maxPauseMs` as in the plan. */
export function* summaryLines(recording: Recording, plan: ReplayPlan, maxPauseMs: number): Generator<string> {
  const { name, format, device, startedAt, notes } = recording;
  const { notifications, pauses, account, durationMs, replayedMs } = plan;
  yield `${name}: ${format}${device === undefined ? '' : `, ${device}`}`;
  yield `  start     ${startedAt ?? 'not in the file'}`;
  const shortened = Math.round(replayedMs) < Math.round(durationMs) ? `, replayed in ${durationText(replayedMs)}` : '';
  yield `  duration  ${durationText(durationMs)}${shortened}`;
  let low = Infinity;
  let high = 0;
  for (const { bpm } of notifications) {
    if (bpm === 0) continue;
    low = Math.min(low, bpm);
    high = Math.max(high, bpm);
  }
  const rates = account.readings > 0 ? `, ${low === high ? low : `${low}-${high}`} bpm` : '';
  yield `  readings  ${account.readings.toLocaleString('en-US')}${rates}`;
  yield `  RR        ${account.intervals === 0 ? 'none' : counted(account.intervals, 'interval')}`;
  yield `  gaps      ${gapsText(plan)}`;
  yield `  account   ${accountLine(plan)}`;
  if (maxPauseMs === 0 && pauses.some(({ durationMs: ms }) => ms > 600_000))
    yield '  note      pauses are replayed as long as they were; REPLAY_MAX_PAUSE (seconds) or --max-pause shortens them';
  for (const note of notes) yield `  note      ${note}`;
}

function gapsText({ pauses }: ReplayPlan): string {
  if (pauses.length === 0) return 'none over 10 s';
  const longest = pauses.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, GAPS_NAMED);
  const named = longest.map(({ durationMs, afterMs }) => `${durationText(durationMs)} after ${durationText(afterMs)}`);
  return `${pauses.length.toLocaleString('en-US')} over 10 s: ${named.join(', ')}${pauses.length > GAPS_NAMED ? ', …' : ''}`;
}
