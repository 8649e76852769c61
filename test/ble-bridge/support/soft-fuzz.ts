/** Fuzzes the path of a notification from link to reading, with a virtual strap. */
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../support/eventually.ts';
import { checkNotification } from './notification-laws.ts';
import { notificationBytes } from './parser-laws.ts';
import { quietSource, startSoftSession } from './soft-session.ts';

/** Delivers `numRuns` random and mutated notifications on one link. */
export async function fuzzSoftStrap(t: Pick<TestContext, 'after'>, numRuns: number): Promise<void> {
  const source = quietSource('Fuzz');
  const { session, readings, strap, statistics } = await startSoftSession(t, source);
  await eventually(() => strap()?.link.state === 'subscribing' && strap()?.status().battery_percent !== null);
  const fuzzed = strap();
  const [soft] = source.straps;
  if (fuzzed === undefined || soft === undefined) throw new Error('no strap');
  soft.notify(Buffer.from([0, 60]));
  readings.splice(0);
  const malformed = (): number => statistics.metrics.malformed.read().values.reduce((sum, { value }) => sum + value, 0);
  fc.assert(
    fc.property(notificationBytes, (bytes) =>
      checkNotification(bytes, { strap: fuzzed, readings, malformed, deliver: (value) => soft.notify(value) }),
    ),
    { numRuns },
  );
  await session.stop();
}
