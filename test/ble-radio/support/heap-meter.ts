import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Returns a function that collects garbage and returns the used heap in MiB. */
export function makeHeapMeter(): () => number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return () => {
    collect();
    return Math.round((process.memoryUsage().heapUsed / 2 ** 20) * 10) / 10;
  };
}
