/**
 * From a recording to what a strap sends, with an account of every row and interval:
 *
 *     rows      = readings + rows of a 0 + rows without a rate
 *     intervals = sent with readings + too long for a notification + left at the end
 *
 * A strap sends intervals only with a heart rate. So those of rows without a rate (or with a 0, which is sent as "no pulse" and makes no
 * reading) go with the next reading; those after the last reading go with that one.
 */
import { counted, type Recording } from './recording.ts';

export interface PlannedNotification {
  /** When it is due, in ms from the first one, pauses shortened if that was asked for. */
  atMs: number;
  /** 0: no pulse. */
  bpm: number;
  /** In 1/1024 s, as straps send them, oldest first. */
  rr1024: number[];
}

/** A time without notifications that is longer than 10 s. */
export interface Pause {
  /** Index of the notification after it. */
  before: number;
  /** When it begins, in ms from the first notification, as recorded. */
  afterMs: number;
  durationMs: number;
  /** As replayed. */
  replayedMs: number;
}

export interface Account {
  rows: number;
  readings: number;
  /** Rows of a 0. */
  noPulse: number;
  withoutRate: number;
  intervals: number;
  /** Of rows without a reading: sent with the next one, or the last. */
  intervalsMoved: number;
  /** Longer than 64 s, which no notification can hold. */
  intervalsTooLong: number;
  /** More than a notification can hold after the last reading. */
  intervalsLeft: number;
}

export interface ReplayPlan {
  notifications: PlannedNotification[];
  pauses: Pause[];
  account: Account;
  /** From the first to the last notification, as recorded. */
  durationMs: number;
  /** As replayed at speed 1. */
  replayedMs: number;
}

const PAUSE_FROM_MS = 10_000;
const RR_MAX_1024 = 65_535;
/** Intervals in one notification; the rest comes with the next, as from a strap whose buffer is full. A reading stays below 16 KB. */
const INTERVALS_PER_NOTIFICATION = 1000;
/** A list of intervals after the last reading cannot go with a next one. */
const INTERVALS_WITH_LAST = 10_000;

/** `maxPauseMs`: longer pauses are shortened to this; 0: all are kept. */
export function planReplay(recording: Recording, { maxPauseMs }: { maxPauseMs: number }): ReplayPlan {
  const account: Account = {
    rows: recording.rows.length,
    readings: 0,
    noPulse: 0,
    withoutRate: 0,
    intervals: 0,
    intervalsMoved: 0,
    intervalsTooLong: 0,
    intervalsLeft: 0,
  };
  const notifications: PlannedNotification[] = [];
  const pauses: Pause[] = [];
  let waiting: number[] = [];
  let lastReading: PlannedNotification | undefined;
  let cutMs = 0;
  let lastMs: number | undefined;
  const firstMs = (recording.rows.find(({ bpm }) => bpm !== null)?.offsetSeconds ?? 0) * 1000;
  for (const { offsetSeconds, bpm, rrMs } of recording.rows) {
    account.intervals += rrMs.length;
    for (const ms of rrMs) {
      const rr1024 = Math.round((ms * 1024) / 1000);
      if (rr1024 > RR_MAX_1024) account.intervalsTooLong += 1;
      else waiting.push(rr1024);
    }
    if (bpm === null) {
      account.withoutRate += 1;
      account.intervalsMoved += rrMs.length;
      continue;
    }
    const recordedMs = offsetSeconds * 1000 - firstMs;
    const gapMs = lastMs === undefined ? 0 : recordedMs - lastMs;
    lastMs = recordedMs;
    if (gapMs > PAUSE_FROM_MS) {
      const replayedMs = maxPauseMs > 0 ? Math.min(gapMs, maxPauseMs) : gapMs;
      pauses.push({ before: notifications.length, afterMs: recordedMs - gapMs, durationMs: gapMs, replayedMs });
      cutMs += gapMs - replayedMs;
    } else if (maxPauseMs > 0 && gapMs > maxPauseMs) cutMs += gapMs - maxPauseMs;
    const notification: PlannedNotification = { atMs: recordedMs - cutMs, bpm, rr1024: [] };
    notifications.push(notification);
    if (bpm === 0) {
      account.noPulse += 1;
      account.intervalsMoved += rrMs.length;
      continue;
    }
    account.readings += 1;
    lastReading = notification;
    notification.rr1024 = waiting.slice(0, INTERVALS_PER_NOTIFICATION);
    waiting = waiting.slice(INTERVALS_PER_NOTIFICATION);
  }
  if (lastReading !== undefined) {
    const room = INTERVALS_WITH_LAST - lastReading.rr1024.length;
    lastReading.rr1024 = [...lastReading.rr1024, ...waiting.slice(0, room)];
    waiting = waiting.slice(room);
  }
  account.intervalsLeft = waiting.length;
  return { notifications, pauses, account, durationMs: lastMs ?? 0, replayedMs: (lastMs ?? 0) - cutMs };
}

/** The account as one line: "12,345 rows: 12,340 readings, 5 without a rate, whose 7 RR intervals go with the next reading". */
export function accountLine({ account }: Pick<ReplayPlan, 'account'>): string {
  const { rows, readings, noPulse, withoutRate, intervals, intervalsMoved, intervalsTooLong, intervalsLeft } = account;
  const parts = [counted(readings, 'reading')];
  if (noPulse > 0) parts.push(`${noPulse.toLocaleString('en-US')} with a 0 (no pulse)`);
  if (withoutRate > 0) parts.push(`${withoutRate.toLocaleString('en-US')} without a rate`);
  if (intervals > 0) {
    const sent = intervals - intervalsTooLong - intervalsLeft;
    parts.push(`${sent.toLocaleString('en-US')} of ${counted(intervals, 'RR interval')}`);
    if (intervalsMoved > 0)
      parts.push(`${intervalsMoved.toLocaleString('en-US')} of them from rows without a reading, sent with the next`);
  }
  if (intervalsTooLong > 0) parts.push(`${counted(intervalsTooLong, 'interval')} over 64 s left out`);
  if (intervalsLeft > 0) parts.push(`${counted(intervalsLeft, 'interval')} after the last reading left out`);
  return `${counted(rows, 'row')}: ${parts.join(', ')}`;
}
