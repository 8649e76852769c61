/**
 * Boxes that start within some time of each other, each with a backlog, on one shard that is theirs: what
 * `test/forwarder/drain/shared-shard.test.ts` does with processes, in virtual time and for many seeds.
 */
import { Drain } from '../../../../forwarder/drain/drain.ts';
import { ForwarderMetrics } from '../../../../forwarder/metrics.ts';
import { seeded } from '../../../support/seeded.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import { SimulatedQueue } from './simulated-queue.ts';
import { SimulatedStream } from './simulated-stream.ts';
import { VirtualClock } from './virtual-clock.ts';

export interface FleetStart {
  boxes: number;
  /** Of all boxes together. */
  readings: number;
  /** The last box starts this long after the first. */
  spreadMs: number;
  seed: number;
}

const STRAPS = 10;
const LIMIT_MS = 300_000;

/** Until the shard has all readings, or five minutes have passed. */
export async function runFleetStart({
  boxes,
  readings,
  spreadMs,
  seed,
}: FleetStart): Promise<{ sentPerAccepted: number; accepted: number }> {
  const random = seeded(seed);
  const clock = new VirtualClock(random);
  const stream = new SimulatedStream(clock, 1);
  const config = testConfig({ DATA_DIR: '/nowhere' });
  const log = testLog(config);
  const drains = Array.from({ length: boxes }, (_, box) => {
    const queue = new SimulatedQueue(() => {});
    queue.accept(
      Array.from({ length: readings / boxes }, (_row, seq) => [
        `box-${box}-strap-${seq % STRAPS}`,
        `{"box":${box},"seq":${seq}}`,
      ]),
      clock.dateMs(),
    );
    const drain = new Drain({ config, log, queue, sink: stream.sink(), metrics: new ForwarderMetrics(), clock });
    clock.after(random() * spreadMs, () => drain.start());
    return drain;
  });
  await clock.run(LIMIT_MS, () => stream.accepted >= readings);
  const { sent, accepted } = stream;
  const stopping = Promise.all(drains.map(async (drain) => await drain.stop()));
  await clock.run(clock.nowMs() + 2500);
  await stopping;
  return { sentPerAccepted: sent / accepted, accepted };
}
