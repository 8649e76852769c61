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
  test('a controller that fails every command: restarts the scan, then rebuilds, then gives up with a code', async () => {
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

  test('advertisements prove that the radio works: a faulty strap causes no action', async () => {
    const { ladder, now, did } = makeLadder({ troubled: 3, receiving: 2 });
    const end = performance.now() + 150;
    await eventually(() => {
      now.aliveAt = performance.now();
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('a radio that receives but cannot connect is rebuilt, unless a strap delivers, and never causes an exit', async () => {
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

  test('receiving nothing never causes an exit while the scan is answered', async () => {
    const { ladder, did } = makeLadder({});
    const end = performance.now() + 400;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.ok(did.includes('rebuild'));
    assert.ok(!did.includes('radio_stuck'));
  });

  test('does nothing while no strap is missing', async () => {
    const { ladder, did } = makeLadder({ troubled: 0 });
    const end = performance.now() + 100;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('with no strap missing and nothing received, rebuilds occasionally, which does not count towards an exit', async () => {
    const { ladder, now, did } = makeLadder({ troubled: 0 }, 30);
    await eventually(() => {
      ladder.tick();
      return did.length >= 4;
    });
    assert.deepEqual([...new Set(did)], ['rebuild']);
    assert.equal(ladder.rebuilds, 0);
    // Advertisements stop the rebuilds.
    did.length = 0;
    const end = performance.now() + 200;
    await eventually(() => {
      now.aliveAt = performance.now();
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });

  test('an unconfirmed end of a link causes a rebuild at once, unless another strap delivers', () => {
    const alone = makeLadder({ unconfirmed: 1 });
    alone.ladder.tick();
    assert.deepEqual(alone.did, ['rebuild']);
    const beside = makeLadder({ unconfirmed: 1, receiving: 1, aliveAt: performance.now() });
    beside.ladder.tick();
    assert.deepEqual(beside.did, []);
  });

  test('waits for an adapter that is switched off, without limit', async () => {
    const { ladder, did } = makeLadder({ poweredOn: false, scanFailures: 9, unconfirmed: 4 });
    const end = performance.now() + 100;
    await eventually(() => {
      ladder.tick();
      return performance.now() > end;
    });
    assert.deepEqual(did, []);
  });
});
