import { setTimeout as sleep } from 'node:timers/promises';

/** Polls until `probe` returns something other than undefined or false without throwing; fails with the last error or with `what`. */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  options: { withinMs?: number; everyMs?: number; what?: string } = {},
): Promise<Exclude<T, undefined | false>> {
  const withinMs = options.withinMs ?? 30_000;
  const end = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end)
      throw new Error(`not within ${withinMs} ms: ${options.what ?? probe.toString().slice(0, 200)}`, { cause: last });
    await sleep(options.everyMs ?? 20);
  }
}
