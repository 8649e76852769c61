import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/eventually.ts';
import { lastOfBridge } from './support/gaps-seen.ts';
import { assertWhole, Processes } from './support/processes.ts';

const AWAY_MS = 25_000;
const WINDOW = 2000;

/** Breaks a forwarder for a while under 200 readings per second, repairs it, and limits what may be sent again. */
async function storm(
  t: TestContext,
  breakIt: (processes: Processes) => Promise<void>,
  mendIt: (processes: Processes) => Promise<void>,
): Promise<void> {
  const processes = new Processes(t, { everyMs: 5 });
  const witness = await processes.startAll();
  const storedAtBreak = witness.storedTotal;
  await breakIt(processes);
  await sleep(AWAY_MS);
  await mendIt(processes);
  const held = (witness.live.at(-1)?.seq ?? 0) - storedAtBreak;
  await eventually(() => witness.storedTotal >= (witness.live.at(-1)?.seq ?? 0) - 100, { withinMs: 120_000, everyMs: 50 });
  await processes.stop('ble-bridge');
  const { run, last } = await lastOfBridge(witness);
  assertWhole(await processes.drained(), run, last);
  t.diagnostic(
    `${held} were held, ${witness.resent} were sent again: sent / needed ${(witness.resent / held).toFixed(2)} of the backlog, ` +
      `${((witness.live.length + witness.resent) / last).toFixed(2)} of all`,
  );
  assert.ok(witness.resent <= held + WINDOW, `${witness.resent} were sent again, ${held} were held`);
}

test('after a forwarder froze and continued its backlog is sent once, plus at most a window', async (t) => {
  await storm(
    t,
    async (processes) => processes.signal('forwarder', 'SIGSTOP'),
    async (processes) => processes.signal('forwarder', 'SIGCONT'),
  );
});

test('after a forwarder crashed at start several times its backlog is sent once, plus at most a window', async (t) => {
  await storm(
    t,
    async (processes) => {
      for (let i = 0; i < 5; i += 1) {
        await processes.kill('forwarder');
        await processes.start('forwarder');
      }
      await processes.kill('forwarder');
    },
    async (processes) => void (await processes.start('forwarder')),
  );
});

test('after a queue rejected writes for a while its backlog is sent once, plus at most a window', async (t) => {
  await storm(
    t,
    async (processes) => {
      await processes.kill('forwarder');
      await processes.start('forwarder', { QUEUE_MIN_FREE_DISK_BYTES: String(2 ** 40) });
    },
    async (processes) => {
      await processes.stop('forwarder');
      await processes.start('forwarder');
    },
  );
});
