/**
 * Mixed disturbances by seed, then everything is lifted. Laws, by identity: every PUBACK and every watermark stands for readings that are
 * in the stream or counted; so does everything that stood in an outbox on disk when its process was killed; a reading that was live is
 * missing only if its process was killed before it could be stored or spilled, or if it is counted; health is ok; the ledger balances.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { seeded } from '../../../support/seeded.ts';
import type { QueueAnswer } from '../../support/product-box.ts';
import type { LiveReading } from '../../crash/support/witness.ts';
import { startChaosBox, type ChaosBox } from './chaos-box.ts';
import { Disturbances, type Diary } from './disturbances.ts';

/** Spilling starts after 5 s without storing, plus a tick and a write, on a loaded machine. */
const SPILL_LIMIT_MS = 9000;
const SETTLED_WITHIN_MS = 90_000;
const HEALTHY_WITHIN_MS = 60_000;
/** Checks that report a loss which is counted, until they are acknowledged or a service starts again. */
const COUNTED = new Set(['outbox_full', 'outbox_disk_failed', 'readings_missed']);

export interface ChaosAccount {
  seed: number;
  disturbances: Record<string, number>;
  live: number;
  acknowledged: number;
  stored: number;
  counted: Record<string, number>;
  lostWithAKill: number;
  exits: string[];
  settledSeconds: number;
  seconds: number;
}

class Contents {
  readonly byIdentity = new Set<string>();
  readonly byTime = new Set<string>();
  readonly #box: ChaosBox;

  constructor(box: ChaosBox) {
    this.#box = box;
  }

  async read(): Promise<void> {
    for (const { run, seq, device, timestamp } of await this.#box.follower.read()) {
      this.byIdentity.add(`${run} ${seq}`);
      this.byTime.add(`${device} ${timestamp}`);
    }
  }

  holds({ run, seq, device, timestamp }: LiveReading): boolean {
    return (run as string | undefined) === undefined
      ? this.byTime.has(`${device} ${timestamp}`)
      : this.byIdentity.has(`${run} ${seq}`);
  }
}

const lostOf = ({ ledger }: QueueAnswer): number => ledger.missed + ledger.evicted + ledger.dead;

/** Of live readings that are missing: those that a kill explains, because nothing had stored or spilled them yet. */
function lostWithAKill(missing: readonly LiveReading[], diary: Diary): LiveReading[] {
  return missing.filter(({ run, timestamp }) => {
    const part = (run as string | undefined) === undefined ? 'gateway' : 'ble-bridge';
    const at = Date.parse(timestamp);
    const kill = diary.kills.find((each) => each.part === part && each.atMs >= at);
    if (kill === undefined) return false;
    // While the disk fails, memory alone holds them.
    const troubleMs = diary.diskTrouble
      .map(({ fromMs, toMs }) => Math.max(0, Math.min(toMs, kill.atMs) - Math.max(fromMs, at)))
      .reduce((sum, ms) => sum + ms, 0);
    // After a failed write, the next try is up to 5 s later.
    const retryMs = troubleMs > 0 ? 6000 : 0;
    return kill.atMs - at - troubleMs - retryMs < SPILL_LIMIT_MS;
  });
}

async function settle(box: ChaosBox, contents: Contents): Promise<number> {
  const startedAt = performance.now();
  await box.stopPublishing();
  await eventually(
    async () => {
      const failing = (await box.product.failing()).filter(({ code }) => !COUNTED.has(code));
      if (failing.length > 0) throw new Error(failing.map(({ name, code, reason }) => `${name} ${code}: ${reason}`).join('; '));
      return true;
    },
    { withinMs: HEALTHY_WITHIN_MS, everyMs: 500, what: 'health is ok' },
  );
  // The bridge is the last to publish.
  await box.product.stop('ble-bridge');
  box.product.launch('ble-bridge');
  const liveTo = box.witness.live.length;
  await eventually(
    async () => {
      await contents.read();
      const { ledger } = await box.product.queue();
      const missing = box.witness.live.slice(0, liveTo).filter((reading) => !contents.holds(reading));
      if (missing.length > lostOf({ ledger } as QueueAnswer) && performance.now() - startedAt < 20_000) return false;
      return ledger.queued < 200;
    },
    { withinMs: SETTLED_WITHIN_MS, everyMs: 500, what: 'the queue is drained' },
  );
  return (performance.now() - startedAt) / 1000;
}

export async function chaos(
  t: TestContext,
  { seed, seconds }: { seed: number; seconds: number },
): Promise<ChaosAccount | undefined> {
  t.diagnostic(`seed ${seed}`);
  const startedAt = performance.now();
  const box = await startChaosBox(t);
  if (box === undefined) return undefined;
  const contents = new Contents(box);
  await eventually(() => box.publishers.every(({ acknowledged }) => acknowledged.size > 10), {
    what: 'PUBACKs before the chaos',
  });
  const disturbances = new Disturbances(box, seeded(seed));
  const { diary } = disturbances;
  const where = (): string => `seed ${seed}:\n${diary.log.join('\n')}`;
  await disturbances.run(seconds * 1000);
  let settledSeconds;
  try {
    settledSeconds = await settle(box, contents);
  } catch (error) {
    throw new Error(`not settled, ${where()}`, { cause: error });
  }

  const acknowledged = box.publishers.flatMap((publisher) => [...publisher.acknowledged]);
  const { live, watermarks } = box.witness;
  const queue = await box.product.queue();
  const lostAcknowledged = acknowledged.filter((key) => !contents.byTime.has(key));
  assert.deepEqual(lostAcknowledged.slice(0, 5), [], `${lostAcknowledged.length} acknowledged are lost, ${where()}`);
  const stored = [...watermarks].flatMap(([run, mark]) => Array.from({ length: mark }, (_, index) => `${run} ${index + 1}`));
  // The box still runs: what was stored in the last moment is on its way.
  await eventually(
    async () => {
      await contents.read();
      const absent = stored.filter((key) => !contents.byIdentity.has(key));
      if (absent.length > lostOf(queue)) throw new Error(`${absent.length}: ${absent.slice(0, 5).join(', ')}`);
      return true;
    },
    { withinMs: 15_000, everyMs: 500, what: `what watermarks report as stored is in the stream or counted, ${where()}` },
  );
  const lostSpilled = [...diary.spilled].filter((key) => !contents.byIdentity.has(key));
  assert.ok(lostSpilled.length <= lostOf(queue), `${lostSpilled.length} spilled are lost and not counted, ${where()}`);
  const missing = live.slice(0, -200).filter((reading) => !contents.holds(reading));
  const explained = lostWithAKill(missing, diary);
  const unexplained = missing.filter((reading) => !explained.includes(reading));
  assert.ok(
    unexplained.length <= lostOf(queue),
    `${unexplained.length} live readings are neither in the stream nor counted (${lostOf(queue)} are): ` +
      `${JSON.stringify(unexplained.slice(0, 3))}, ${where()}`,
  );
  const { ledger } = queue;
  assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted, where());
  return {
    seed,
    disturbances: diary.counts,
    live: live.length,
    acknowledged: acknowledged.length,
    stored: contents.byIdentity.size,
    counted: { ...queue.causes.evicted, ...queue.causes.missed },
    lostWithAKill: explained.length,
    exits: box.product.unaskedExits.map(({ part, exit, codes }) => `${part}:${exit}:${codes.join('+')}`),
    settledSeconds: Math.round(settledSeconds),
    seconds: Math.round((performance.now() - startedAt) / 1000),
  };
}
