/** How far a replay is, as one line. */
import { durationText } from '../../recordings/summary.ts';

interface Progress {
  recording: string;
  sent: number;
  total: number;
  ended: boolean;
  leftMs: number | undefined;
}

const NAMED_MAX = 4;

function recordingText({ recording, sent, total, ended, leftMs }: Progress): string {
  if (ended) return `${recording} done, ${total.toLocaleString('en-US')} sent`;
  const percent = total === 0 ? 100 : Math.floor((100 * sent) / total);
  const left = leftMs === undefined ? '' : `, ${durationText(leftMs)} left`;
  return `${recording} ${percent} %, ${sent.toLocaleString('en-US')} of ${total.toLocaleString('en-US')} sent${left}`;
}

/** `held`: sent and not stored yet; `queued`: stored and not shipped yet. */
export function progressLine(recordings: readonly Progress[], { held, queued }: { held: number; queued: number }): string {
  const open = recordings.filter(({ ended }) => !ended);
  const named = (open.length > 0 ? open : recordings).slice(0, NAMED_MAX).map(recordingText);
  const others = recordings.length - named.length;
  const more = others > 0 ? `; ${others} more` : '';
  return `${named.join('; ')}${more}; ${held.toLocaleString('en-US')} to be stored, ${queued.toLocaleString('en-US')} to be shipped`;
}
