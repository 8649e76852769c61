/** Reads the recordings of REPLAY_FILE and reports them in the log: what is in them, what was left out, pauses, the end. */
import { readRecordings } from '../../../recordings/read-recordings.ts';
import type { Recording } from '../../../recordings/recording.ts';
import { accountLine, planReplay } from '../../../recordings/replay-plan.ts';
import { durationText } from '../../../recordings/summary.ts';
import type { Config } from '../../../service/config/config.ts';
import type { Logger } from '../../../service/log/log.ts';
import { ReplaySource } from './replay-source.ts';

interface MakeReplayOptions {
  config: Config;
  log: Logger;
  canTake: () => boolean;
}

function report(recording: Recording, maxPauseMs: number, log: Logger): void {
  const plan = planReplay(recording, { maxPauseMs });
  const { name, format, device, startedAt, notes } = recording;
  const facts = { recording: name, format, device, started_at: startedAt, duration_s: Math.round(plan.durationMs / 1000) };
  log.info({ event: 'replay_recording', ...facts, ...plan.account, pauses: plan.pauses.length }, accountLine(plan));
  for (const note of notes) log.warn({ event: 'replay_note', recording: name, note }, note);
}

/** Throws HrError `recording_unreadable`. */
export async function makeReplay(files: readonly string[], { config, log, canTake }: MakeReplayOptions): Promise<ReplaySource> {
  const recordings: Recording[] = [];
  for (const file of files) recordings.push(...(await readRecordings(file)));
  const maxPauseMs = config.REPLAY_MAX_PAUSE * 1000;
  for (const recording of recordings) report(recording, maxPauseMs, log);
  return new ReplaySource({
    recordings,
    speed: config.REPLAY_SPEED,
    loop: config.REPLAY_LOOP,
    maxPauseMs,
    canTake,
    listener: {
      pause: (recording, waitMs, recordedMs) =>
        log.info(
          { event: 'replay_pause', recording, wait_s: Math.round(waitMs / 1000), recorded_s: Math.round(recordedMs / 1000) },
          `pause in the recording: the next reading comes in ${durationText(waitMs)}; REPLAY_MAX_PAUSE shortens pauses`,
        ),
      ended: (recording, plan) => log.info({ event: 'replay_ended', recording, ...plan.account }, 'end of the recording'),
    },
  });
}
