/**
 * Starting up leaves some 25 MB behind in each process: V8's young generation grows while modules are loaded, and with the few
 * allocations of a calm pipeline nothing makes it small again. Two full collections when all is calm do; a flood grows it again at need.
 * (A small limit from the start, `--max-semi-space-size`, would cost a flood 25-40 % more CPU.)
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8 makes the young generation smaller where little was allocated since the collection before: the first one is for the second. */
const AFTER_MS = [8000, 14_000];

/** Collects a little after the start, in the thread that calls it; keeps no process alive. */
export function trimMemoryAfterStart(): { stop(): void } {
  const timers = AFTER_MS.map((ms) =>
    setTimeout(() => {
      // Not `--expose-gc` on the command line: services are started by npm, Docker, systemd and by hand.
      setFlagsFromString('--expose-gc');
      (runInNewContext('gc') as () => void)();
    }, ms).unref(),
  );
  return { stop: () => timers.forEach(clearTimeout) };
}
