/**
 * Startup leaves about 25 MB of unused memory in each process: V8's young generation grows while modules are loaded, and the few
 * allocations of an idle pipeline never shrink it. Two full collections after startup do; a burst of readings grows it again.
 * (A small limit from the start, `--max-semi-space-size`, would cost a burst 25-40 % more CPU.)
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8 shrinks the young generation if little was allocated since the previous collection, so a single collection is not enough. */
const AFTER_MS = [8000, 14_000];

/** Schedules the collections in the calling thread. The timers do not keep the process alive. */
export function trimMemoryAfterStart(): { stop(): void } {
  const timers = AFTER_MS.map((ms) =>
    setTimeout(() => {
      // Not on the command line: services are started by npm, Docker, systemd and by hand.
      setFlagsFromString('--expose-gc');
      (runInNewContext('gc') as () => void)();
    }, ms).unref(),
  );
  return { stop: () => timers.forEach(clearTimeout) };
}
