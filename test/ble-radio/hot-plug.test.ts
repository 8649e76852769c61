import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { DeviceStatus } from '../../contract/device-status.ts';
import { getJson, startOneProcess } from '../system/pipeline/support/one-process.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'plugging an adapter in removes simulated straps, moves the bridge to a supervised process, and real straps stream',
  { skip: virtualRadioMissing() },
  async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.3 });
    const folder = tempDir(t);
    const plugged = path.join(folder, 'plugged-in');
    const { environment, nodeArgs } = radio.environment();
    const product = startOneProcess(t, path.join(folder, 'data'), {
      ...environment,
      BLE_SOURCE: 'auto',
      NODE_OPTIONS: nodeArgs.join(' '),
      NOBLE_HCI_SYSFS: plugged,
    });
    const { admin } = await product.addresses();
    const devices = async (): Promise<DeviceStatus[]> => await getJson<DeviceStatus[]>(`${admin}/devices`);
    await eventually(
      async () => (await devices()).length === 3 && (await devices()).every(({ source }) => source === 'simulated'),
    );

    writeFileSync(plugged, '');
    await product.event('adapter_found');
    const [strap] = await eventually(
      async () => {
        const all = await devices();
        return all.length === 1 && all[0]?.state === 'streaming' ? all : undefined;
      },
      { withinMs: 60_000, what: 'the real strap only' },
    );
    assert.deepEqual([strap?.device, strap?.source], ['hr1-000001', 'noble']);
    const bridge = product
      .lines()
      .filter(({ event, service }) => event === 'started' && service === 'ble-bridge')
      .at(-1);
    assert.notEqual(bridge?.['pid'], product.pid);
    // Its parent restarts it, like one that was present from the start.
    process.kill(Number(bridge?.['pid']), 'SIGKILL');
    await product.event('child_ended');
    await eventually(
      () => product.lines().filter(({ event, service }) => event === 'started' && service === 'ble-bridge').length === 2,
    );
    assert.equal(await product.end(), 0);
    assert.equal((await radio.state()).periph['1']?.conns, 0);
  },
);
