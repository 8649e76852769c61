import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, test } from 'node:test';
import { ScanSupervisor, type ScanLimits } from '../../../ble-bridge/radio/scan-supervisor.ts';
import type { Radio, RadioEvents, RadioState } from '../../../ble-bridge/radio/radio.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** A radio as the supervisor sees it: counts the starts of the scan and answers them, or not. */
function makeScan(limits: Partial<ScanLimits> = {}) {
  const world = {
    state: 'powered_on' as RadioState,
    answers: true,
    starts: 0,
    connecting: false,
    missing: false,
    lostAt: -Infinity,
  };
  const events = new EventEmitter<RadioEvents>();
  const radio: Pick<Radio, 'state' | 'events' | 'scan'> = {
    get state() {
      return world.state;
    },
    events,
    scan: async () => {
      world.starts += 1;
      if (!world.answers) await new Promise<never>(() => {});
    },
  };
  const scan = new ScanSupervisor({
    radio,
    log: testLog(testConfig({})),
    demand: world,
    limits: { answerMs: 30, afterLossMs: 60_000, whileMissingMs: 60_000, idleMs: 60_000, ...limits },
  });
  return { world, events, scan };
}

type Made = ReturnType<typeof makeScan>;

/** Ticks until the scan was started `count` times. */
async function starts({ world, scan }: Made, count: number): Promise<void> {
  await eventually(() => {
    scan.tick();
    return world.starts >= count;
  });
}

/** Ticks a hundred times without a further start. */
async function staysAt({ world, scan }: Made, count: number): Promise<void> {
  for (let i = 0; i < 100; i += 1) {
    scan.tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(world.starts, count);
}

describe('the scan supervisor', () => {
  test('starts the scan once while no strap is missing', async () => {
    const made = makeScan();
    made.scan.start();
    await eventually(() => made.scan.running);
    await staysAt(made, 1);
  });

  test('restarts a scan that stopped unexpectedly', async () => {
    const made = makeScan();
    made.scan.start();
    await eventually(() => made.scan.running);
    made.events.emit('scan_stopped');
    await starts(made, 2);
    await eventually(() => made.scan.running);
    await staysAt(made, 2);
  });

  test('restarts the scan after a link ended, because a strap that returns is not reported again within one scan', async () => {
    const made = makeScan();
    made.scan.start();
    await eventually(() => made.scan.running);
    made.world.lostAt = performance.now();
    await starts(made, 2);
  });

  test('restarts the scan often while straps are missing, and rarely otherwise', async () => {
    const missing = makeScan({ whileMissingMs: 5 });
    missing.scan.start();
    missing.world.missing = true;
    await starts(missing, 4);
    const quiet = makeScan({ idleMs: 5 });
    quiet.scan.start();
    await starts(quiet, 3);
  });

  test('counts a start that is never answered (0x0c) as failed and tries again; an answer resets the count', async () => {
    const made = makeScan({ afterLossMs: 5 });
    made.world.answers = false;
    made.scan.start();
    await starts(made, 3);
    assert.ok(made.scan.failures >= 2);
    assert.equal(made.scan.running, false);
    made.world.answers = true;
    await eventually(() => {
      made.scan.tick();
      return made.scan.running;
    });
    assert.equal(made.scan.failures, 0);
  });

  test('does not start the scan while a connect is in progress', async () => {
    const made = makeScan();
    made.scan.start();
    await eventually(() => made.scan.running);
    made.world.connecting = true;
    made.events.emit('scan_stopped');
    await staysAt(made, 1);
    made.world.connecting = false;
    await starts(made, 2);
  });

  test('waits while the radio is off, and starts the scan at once after a reset', async () => {
    const made = makeScan();
    made.world.state = 'powered_off';
    made.scan.start();
    await staysAt(made, 0);
    made.world.state = 'powered_on';
    made.scan.reset();
    assert.equal(made.world.starts, 1);
  });

  test('counts the advertisements of the last minute', () => {
    const made = makeScan();
    for (let i = 0; i < 7; i += 1)
      made.events.emit('advertisement', {
        address: 'c0:00:00:00:00:01',
        name: undefined,
        rssi: -50,
        connectable: true,
        serviceUuids: [],
      });
    assert.equal(made.scan.advertisementsPerMinute, 7);
    assert.ok(performance.now() - made.scan.advertisedAt < 10_000);
  });
});
