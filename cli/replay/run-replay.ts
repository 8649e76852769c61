/** Runs all services with recordings as straps until every reading is stored, with a line of progress every few seconds. */
import { AllServices } from '../../all-services.ts';
import type { Config } from '../../service/config/config.ts';
import { createProcessLogger } from '../../service/log/log.ts';
import { endAfterLog, ProcessEnd, reportStartFailure } from '../../service/process/lifecycle.ts';
import { hostToConnect } from '../../service/network/addresses.ts';
import { progressLine } from './progress-line.ts';

const PROGRESS_EVERY_MS = 5000;
const LOOK_EVERY_MS = 200;
/** Readings that the stream has not taken by then stay in the queue, on disk, for the next start. */
const SHIP_LIMIT_MS = 15_000;

/** Resolves once every recording is at its end, every reading is stored, and, if the stream takes them in time, shipped. */
async function untilStored(all: AllServices, isEnding: () => boolean): Promise<void> {
  let shownAt = -Infinity;
  let shown = '';
  let storedAt: number | undefined;
  while (!isEnding()) {
    const { bridge, queued } = all;
    const progress = bridge?.replay ?? [];
    const line = progressLine(progress, { held: bridge?.held ?? 0, queued });
    const isStored = progress.every(({ ended }) => ended) && bridge?.held === 0;
    if (line !== shown && (performance.now() - shownAt >= PROGRESS_EVERY_MS || isStored)) {
      console.log(line);
      shown = line;
      shownAt = performance.now();
    }
    if (isStored) {
      storedAt ??= performance.now();
      if (queued === 0 || performance.now() - storedAt > SHIP_LIMIT_MS) return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Ends the process: with 0 after the replay or a signal, with 1 if the box cannot start. */
export async function runReplay(config: Config): Promise<void> {
  const root = createProcessLogger(config);
  const log = root.child({ service: 'hr-gateway' });
  const all = new AllServices(root, (error, exitCode) => end.fail(error, exitCode));
  const end = new ProcessEnd({
    name: 'hr-gateway',
    config,
    log,
    stop: async () => await all.stop(),
    hurry: () => all.hurry(),
  });
  end.install();
  try {
    const running = await all.start(config);
    if (end.ending) return;
    end.started();
    console.log(`replaying; page http://${hostToConnect(running.config.ADMIN_HOST)}:${running.config.ADMIN_PORT}/`);
    await untilStored(all, () => end.ending);
    const { queued } = all;
    if (queued > 0) console.log(`${queued} readings are stored and wait in the queue for the stream`);
    end.finish();
  } catch (error) {
    if (end.ending) return;
    const exitCode = reportStartFailure(error);
    await all.stop().catch(() => {});
    endAfterLog(log, exitCode);
  }
}
