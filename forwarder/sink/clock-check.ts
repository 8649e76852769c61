/**
 * Whether the clock of this box explains a failure. A wrong clock shows in many layers, and rarely under its own name: certificates are
 * not yet or no longer valid, fresh credentials have expired, signatures do not match. The Date header of any answer settles it.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isBeforeBuild } from '../../service/process/clock-state.ts';
import { makeAgents } from './http-handler.ts';
import type { FailureClass } from './sink.ts';

/** Signatures are refused from 5 minutes on; the SDK corrects from 4 minutes on. */
const SKEW_MS = 4 * 60_000;
const ASK_LIMIT_MS = 5000;
const MS_PER_S = 1000;
const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['days', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
];

/**
 * How far this box's clock is ahead of the stream's, in ms; negative if it is behind. The answer's Date header has whole seconds, and was
 * written at some instant while the request was under way, so the difference is known as a range only: the value is the end that is nearer
 * to zero, and 0 if the clocks may agree. Undefined without a valid header.
 */
export function clockAheadOf({
  sentMs,
  receivedMs,
  date,
}: {
  sentMs: number;
  receivedMs: number;
  date: string | undefined;
}): number | undefined {
  const streamMs = date === undefined ? Number.NaN : Date.parse(date);
  if (!Number.isFinite(streamMs)) return undefined;
  const [least, most] = [sentMs - (streamMs + 999), receivedMs - streamMs];
  if (least > 0) return least;
  return Math.min(0, most);
}

/** `2 h behind`, `3 days ahead`. */
function distanceOf(aheadMs: number): string {
  const size = Math.abs(aheadMs);
  const [unit, ms] = UNITS.find(([, least]) => size >= 2 * least) ?? ['s', MS_PER_S];
  return `${Math.round(size / ms)} ${unit} ${aheadMs > 0 ? 'ahead of' : 'behind'} the other side`;
}

/**
 * Asks a server for its time: any answer has a Date header. Its certificate is not checked, because a wrong clock is a reason why it cannot
 * be; nothing secret is sent, and nothing but the time is read. Undefined if it does not answer.
 */
async function askClock(origin: string): Promise<number | undefined> {
  if (!URL.canParse(origin)) return undefined;
  const { httpAgent, httpsAgent } = await makeAgents({ rejectUnauthorized: false }, { proxied: true });
  const [send, agent] = origin.startsWith('https:') ? [httpsRequest, httpsAgent] : [httpRequest, httpAgent];
  const sentMs = Date.now();
  try {
    return await new Promise<number | undefined>((resolve) => {
      const sent = send(origin, { method: 'HEAD', agent, signal: AbortSignal.timeout(ASK_LIMIT_MS) }, (answer) => {
        answer.resume();
        resolve(clockAheadOf({ sentMs, receivedMs: Date.now(), date: answer.headers.date }));
      });
      sent.on('error', () => resolve(undefined));
      sent.end();
    });
  } finally {
    httpAgent.destroy();
    httpsAgent.destroy();
  }
}

export interface ClockSources {
  /** Date header of the answer that the failure came with. */
  date: string | undefined;
  /** Who can be asked for the time. */
  origin: string | undefined;
}

/** The failure, or `clock_skew` if the clock explains it. */
export async function withClockChecked(failure: FailureClass, { date, origin }: ClockSources): Promise<FailureClass> {
  if (failure.mayBeClock === undefined) return failure;
  const nowMs = Date.now();
  const answeredMs = clockAheadOf({ sentMs: nowMs, receivedMs: nowMs, date });
  const aheadMs = answeredMs ?? (origin === undefined ? undefined : await askClock(origin));
  // Without anybody's time, a clock that shows a time before this release is wrong all the same.
  const isWrong = aheadMs === undefined ? isBeforeBuild(new Date()) : Math.abs(aheadMs) >= SKEW_MS;
  if (!isWrong) return failure;
  const found =
    aheadMs === undefined ? `this box's clock shows ${new Date().toISOString()}` : `this box is ${distanceOf(aheadMs)}`;
  return { ...failure, state: 'clock_skew', detail: `${found}: ${failure.detail}`, hint: failure.mayBeClock };
}
