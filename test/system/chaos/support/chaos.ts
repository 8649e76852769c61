/**
 * Mixed disturbances by seed, then everything is lifted. Laws, by identity: every PUBACK stands for a reading in the stream, every
 * watermark for readings that are in the stream or in the account of their run; so does everything that was in an outbox on disk when
 * its process was killed; a reading that was live is missing only if its process was killed before it could be stored or spilled, or if
 * the account names it; no service ends unasked; health is ok; the ledger balances.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { seeded } from '../../../support/seeded.ts';
import type { QueueAnswer } from '../../support/product-box.ts';
import type { LiveReading } from '../../crash/support/witness.ts';
import { AccountLaw, type StreamContents } from './account-law.ts';
import { startChaosBox, type ChaosBox } from './chaos-box.ts';
import { Disturbances, type Diary } from './disturbances.ts';
import { RunAccounts } from './run-accounts.ts';

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
  settledSeconds: number;
  seconds: number;
}

class Contents implements StreamContents {
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

/** Whether a kill explains that a live reading is missing: nothing had stored or spilled it yet. */
function isLostWithAKill({ run, timestamp }: LiveReading, diary: Diary): boolean {
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
  const lostAcknowledged = acknowledged.filter((key) => !contents.byTime.has(key));
  assert.deepEqual(lostAcknowledged.slice(0, 5), [], `${lostAcknowledged.length} acknowledged are lost, ${where()}`);
  // The last seconds are on their way, and their process still runs.
  const seen = live.slice(0, -200);
  const law = new AccountLaw({
    stored: [...watermarks].flatMap(([run, mark]) => Array.from({ length: mark }, (_, index) => `${run} ${index + 1}`)),
    spilled: [...diary.spilled],
    live: seen,
    explained: (reading) => isLostWithAKill(reading, diary),
  });
  let lostWithAKill = 0;
  await eventually(
    async () => {
      // First the account: what is shipped meanwhile is in the stream.
      const accounts = await RunAccounts.read(box.product.adminUrl, law.runs);
      await contents.read();
      lostWithAKill = law.check(accounts, contents);
      return true;
    },
    { withinMs: 20_000, everyMs: 1000, what: `every reading is in the stream or in the account, ${where()}` },
  );
  const exits = box.product.unaskedExits;
  assert.deepEqual(
    exits.map(({ part, exit, codes, output }) => `${part}: ${exit} ${codes.join('+')}\n${output}`),
    [],
    `no service ends unasked, ${where()}`,
  );
  const queue = await box.product.queue();
  const { ledger } = queue;
  assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted, where());
  return {
    seed,
    disturbances: diary.counts,
    live: live.length,
    acknowledged: acknowledged.length,
    stored: contents.byIdentity.size,
    counted: { ...queue.causes.evicted, ...queue.causes.missed },
    lostWithAKill,
    settledSeconds: Math.round(settledSeconds),
    seconds: Math.round((performance.now() - startedAt) / 1000),
  };
}
