import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { eventually } from '../support/eventually.ts';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, strapAddress, virtualRadioMissing } from './support/virtual-radio.ts';

const ALIAS = { BLE_ALIASES: 'Fenix 8*=anna' };
const WATCH = { name: 'Fenix 8 Pro', bpm: 71, period: 0.3 };
const addresses = (bench: RadioBench): string[] => bench.session.straps.all.map(({ address }) => address).sort();
const devices = (bench: RadioBench): string[] => [...new Set(bench.readings.map(({ device }) => device))].sort();

/** A log whose lines can be read. */
function linesOf(): { lines: Record<string, unknown>[]; log: pino.Logger } {
  const lines: Record<string, unknown>[] = [];
  const write = (chunk: Buffer, _encoding: unknown, done: () => void): void => {
    lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
    done();
  };
  return { lines, log: pino({ level: 'info' }, new Writable({ write })) };
}

describe('a strap keeps its identity', { skip: virtualRadioMissing() }, () => {
  test('a watch with a new address that is known by its name stays one device, with a gap and one line in the log', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const { lines, log } = linesOf();
    const bench = await startBench(t, radio, { environment: ALIAS, log });
    await bench.flows(1, 3);
    // Its battery is pulled: nothing tells the bridge, which notices after 3 s.
    await radio.op('vanish', { id: 1 });
    await radio.add(2, { ...WATCH, bpm: 72 });
    await eventually(() => bench.readings.filter(({ heart_rate }) => heart_rate === 72).length >= 3, {
      withinMs: 40_000,
      what: 'readings with the new address',
    });
    assert.deepEqual(devices(bench), ['anna']);
    assert.deepEqual(addresses(bench), [strapAddress(2)]);
    const before = bench.readings.filter(({ heart_rate }) => heart_rate === 71).at(-1);
    const after = bench.readings.find(({ heart_rate }) => heart_rate === 72);
    assert.equal(bench.gaps.length, 1, JSON.stringify(bench.gaps));
    assert.deepEqual(bench.gaps[0], {
      device: 'anna',
      gap: { from: before?.timestamp, to: after?.timestamp, cause: 'out_of_range' },
    });
    const changes = lines.filter(({ event }) => event === 'strap_address_changed');
    assert.deepEqual(
      changes.map(({ device, before: from, address }) => [device, from, address]),
      [['anna', strapAddress(1), strapAddress(2)]],
    );
    // Its counters continue.
    assert.ok((bench.strap(2)?.status().readings ?? 0) >= 6, 'the readings of both addresses are counted');
    assert.equal(bench.strap(2)?.status().reconnects, 1);
    await bench.settled();
  });

  test('a strap is let go if the name that BLE_DENY excludes becomes known while it is connected', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: '', bpm: 71, period: 0.3 });
    let give: ((packet: Buffer) => void) | undefined;
    const tapped = globalThis as { hciTap?: (packet: Buffer, give: (packet: Buffer) => void) => void };
    tapped.hciTap = (_packet, giver) => (give = giver);
    t.after(() => delete tapped.hciTap);
    const bench = await startBench(t, radio, { environment: { BLE_DENY: 'Denied*' } });
    await bench.flows(1, 2);
    // A strap with several connections advertises on: ADV_IND, then its scan response with the name.
    const address = Buffer.from(strapAddress(1).replaceAll(':', ''), 'hex').reverse();
    const report = (type: number, data: Buffer): Buffer => {
      const body = Buffer.concat([Buffer.of(0x02, 0x01, type, 0x01), address, Buffer.of(data.length), data, Buffer.of(0xce)]);
      return Buffer.concat([Buffer.of(0x04, 0x3e, body.length), body]);
    };
    const name = Buffer.from('Denied Watch');
    give?.(report(0x00, Buffer.from('02010603030d18', 'hex')));
    give?.(report(0x04, Buffer.concat([Buffer.of(name.length + 1, 0x09), name])));
    await eventually(() => bench.session.straps.all.length === 0, { what: 'the strap is let go' });
    await eventually(async () => (await radio.state()).periph['1']?.conns === 0, { what: 'its link ends' });
    const { length } = bench.readings;
    await sleep(6000);
    assert.equal(bench.readings.length, length, 'it is not connected again');
    await bench.settled();
  });

  test('a strap that refuses for ever is shown as refused all the time, while it is tried again', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'Refuses', att: [{ on: 'cccd', error: 0x03 }] });
    const bench = await startBench(t, radio);
    await eventually(() => bench.strap(1)?.status().state === 'refused', { what: 'refused' });
    const since = bench.strap(1)?.status().since;
    const shown = new Set<string>();
    const attempts = (): number => bench.strap(1)?.status().disconnects?.['refused'] ?? 0;
    await eventually(
      () => {
        shown.add(`${bench.strap(1)?.status().state} ${bench.strap(1)?.status().reason?.code}`);
        return attempts() >= 4;
      },
      { withinMs: 30_000, everyMs: 5, what: 'further attempts' },
    );
    assert.deepEqual([...shown], ['refused att_error']);
    assert.equal(bench.strap(1)?.status().since, since);
    await bench.settled();
  });
});
