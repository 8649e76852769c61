import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

type Give = (packet: Buffer) => void;

test('a link that ends in the moment of a write: no rejection that would end the process, and the other strap is read on', { skip: virtualRadioMissing() }, async (t) => {
  const radio = await startVirtualRadio(t);
  await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
  await radio.add(2, { name: 'HR2', bpm: 72, period: 0.2 });
  /** By heart rate, as notified: 02 handle(2) … 1b value handle(2) flags bpm. */
  const handles = new Map<number, Buffer>();
  let give: Give | undefined;
  (globalThis as { hciTap?: (packet: Buffer, give: Give) => void }).hciTap = (packet, giver) => {
    give = giver;
    if (packet[0] === 2 && packet[9] === 0x1b) handles.set(packet[13] ?? 0, Buffer.from([packet[1] ?? 0, (packet[2] ?? 0) & 0x0f]));
  };
  t.after(() => delete (globalThis as { hciTap?: unknown }).hciTap);
  const bench = await startBench(t, radio);
  await bench.listening(1);
  await bench.listening(2);
  await eventually(() => handles.has(71));
  const since = performance.now();
  const written = bench.strap(1)?.link.writeControlPoint(Buffer.from([0x01]));
  // Disconnection complete, reason 8, before noble has written the packet.
  give?.(Buffer.concat([Buffer.from([0x04, 0x05, 0x04, 0x00]), handles.get(71) ?? Buffer.alloc(2), Buffer.from([0x08])]));
  await assert.rejects(async () => await written, /the link has ended/);
  assert.equal(bench.strap(1)?.link.state, 'lost');
  await radio.op('terminate', { id: 1 });
  await bench.flows(1);
  await bench.flows(2);
  assert.ok(bench.longestPauseMs(2, since) < 5000);
  await bench.settled();
});
