import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecoveryLadder, type RadioHealth } from '../../../ble-bridge/radio/recovery-ladder.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

function makeLadder(health: Partial<RadioHealth>, quietRebuildMs = 600_000) {
  const now: RadioHealth = {
    poweredOn: true,
    unresponsive: false,
    aliveAt: -Infinity,
    troubled: 1,
    scanFailures: 0,
    unconfirmed: 0,
    fruitless: 0,
    receiving: 0,
    ...health,
  };
  const did: string[] = [];
  const ladder = new RecoveryLadder({
    log: testLog(testConfig({})),
    radio: {
      health: () => now,
      restartScan: () => did.push('scan'),
      rebuild: async () => await Promise.resolve(did.push('rebuild')).then(() => {}),
      giveUp: (error) => did.push(error.code),
    },
    rungMs: 10,
    rebuildsMax: 2,
    quietRebuildMs,
  });
  return { ladder, now, did };
}

describe('the recovery ladder', () => {
  test('a controller that does nothing it is told: new scan, new noble, and in the end an exit with a code', async () => {
    const { ladder, did } = makeLadder({ scanFailures: 9 });
    await eventually(() => {
      ladder.tick();
      return did.includes('radio_stuck');
    });
    assert.equal(did[0], 'scan');
    assert.equal(did.filter((rung) => rung === 'rebuild').length, 2);
    assert.equal(did.at(-1), 'radio_stuck');
    ladder.tick();
    assert.equal(did.filter((rung) => rung === 'radio_stuck').length, 1);
  });

  test('hearing anybody counts as a healthy radio: one bad strap moves no rung', async () => {
    const { ladder, now, did } = makeLadder({ troubled: 3, receiving: 2 });
    const end = performance.now() + 150;
    await eventually(() => {
      now.aliveAt = performance.now();
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('a radio that hears and cannot connect gets a new noble, but not while a strap delivers, and it is never a reason to exit', async () => {
    const tickFor = async ({ ladder, now }: ReturnType<typeof makeLadder>, ms: number): Promise<void> => {
      const end = performance.now() + ms;
      await eventually(() => {
        now.aliveAt = performance.now();
        ladder.tick();
        return performance.now() > end;
      });
    };
    const deaf = makeLadder({ fruitless: 6 });
    await tickFor(deaf, 400);
    assert.deepEqual([...new Set(deaf.did)], ['scan', 'rebuild']);
    const beside = makeLadder({ fruitless: 60, receiving: 1 });
    const few = makeLadder({ fruitless: 5 });
    await tickFor(beside, 100);
    await tickFor(few, 100);
    assert.deepEqual([...beside.did, ...few.did], []);
  });

  test('a quiet place is no fault: no exit while the scan is answered', async () => {
    const { ladder, did } = makeLadder({});
    const end = performance.now() + 400;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.ok(did.includes('rebuild'));
    assert.ok(!did.includes('radio_stuck'));
  });

  test('nobody missing, nothing done', async () => {
    const { ladder, did } = makeLadder({ troubled: 0 });
    const end = performance.now() + 100;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('where nobody is missed and nothing is ever heard, a new noble now and then, which is no step towards an exit', async () => {
    const { ladder, now, did } = makeLadder({ troubled: 0 }, 30);
    await eventually(() => {
      ladder.tick();
      return did.length >= 4;
    });
    assert.deepEqual([...new Set(did)], ['rebuild']);
    assert.equal(ladder.rebuilds, 0);
    // One advertisement of anybody, and it is left alone.
    did.length = 0;
    const end = performance.now() + 200;
    await eventually(() => {
      now.aliveAt = performance.now();
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('links whose end was not confirmed: a new noble at once, but not while another strap delivers', () => {
    const alone = makeLadder({ unconfirmed: 1 });
    alone.ladder.tick();
    assert.deepEqual(alone.did, ['rebuild']);
    const beside = makeLadder({ unconfirmed: 1, receiving: 1, aliveAt: performance.now() });
    beside.ladder.tick();
    assert.deepEqual(beside.did, []);
  });

  test('an adapter that is switched off is waited for, however long', async () => {
    const { ladder, did } = makeLadder({ poweredOn: false, scanFailures: 9, unconfirmed: 4 });
    const end = performance.now() + 100;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });
});
