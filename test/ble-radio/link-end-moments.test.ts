import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { strayListeners } from './support/listeners.ts';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing, type VirtualRadio } from './support/virtual-radio.ts';

type Give = (packet: Buffer) => void;

interface Moments {
  radio: VirtualRadio;
  bench: RadioBench;
  /** Called with each attribute packet (handle of the link, opcode and what follows) before noble gets it. */
  onAttribute: (handle: Buffer, attribute: Buffer) => void;
  /** The controller says to noble that a link has ended, out of range. */
  endLink: (handle: Buffer) => void;
}

/** Two straps that stream, and a hand between controller and noble. */
async function startMoments(t: TestContext): Promise<Moments> {
  const radio = await startVirtualRadio(t);
  await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
  await radio.add(2, { name: 'HR2', bpm: 72, period: 0.2 });
  let give: Give = () => {};
  const moments: Moments = {
    radio,
    bench: await startBench(t, radio),
    onAttribute: () => {},
    // Disconnection complete (0x05), status 0, handle, reason 8.
    endLink: (handle) => give(Buffer.concat([Buffer.from([0x04, 0x05, 0x04, 0x00]), handle, Buffer.from([0x08])])),
  };
  (globalThis as { hciTap?: (packet: Buffer, give: Give) => void }).hciTap = (packet, giver) => {
    give = giver;
    // ACL: 02 handle(2) length(2) l2cap length(2) cid(2) attribute.
    if (packet[0] === 2 && packet.readUInt16LE(7) === 4)
      moments.onAttribute(Buffer.from([packet[1] ?? 0, (packet[2] ?? 0) & 0x0f]), packet.subarray(9));
  };
  t.after(() => delete (globalThis as { hciTap?: unknown }).hciTap);
  await moments.bench.listening(1);
  await moments.bench.listening(2);
  return moments;
}

/** The answer that ends the discovery of services: "attribute not found" (01 10 …), or a group that reaches to handle 0xffff (11 length start end uuid …). */
function endsServices(attribute: Buffer): boolean {
  if (attribute[0] === 0x01) return attribute[1] === 0x10;
  const last = attribute.subarray(-(attribute[1] ?? 0));
  return attribute[0] === 0x11 && last.length >= 4 && last.readUInt16LE(2) === 0xffff;
}

describe('a link that ends in a bad moment', { skip: virtualRadioMissing() }, () => {
  test('between a write and its packet: no rejection that would end the process, and the other strap is read on', async (t) => {
    const moments = await startMoments(t);
    const { radio, bench } = moments;
    let handle: Buffer | undefined;
    moments.onAttribute = (link, attribute) => {
      // A notification of heart rate 71: 1b value handle(2) flags bpm.
      if (attribute[0] === 0x1b && attribute[4] === 71) handle = link;
    };
    await eventually(() => handle);
    const since = performance.now();
    const written = bench.strap(1)?.link.writeControlPoint(Buffer.from([0x01]));
    moments.endLink(handle ?? Buffer.alloc(2));
    await assert.rejects(async () => await written, /the link has ended/);
    assert.equal(bench.strap(1)?.link.state, 'lost');
    await radio.op('terminate', { id: 1 });
    await bench.flows(1);
    await bench.flows(2);
    assert.ok(bench.longestPauseMs(2, since) < 5000);
    await bench.settled();
  });

  test('between the services and their characteristics: no listener is left, and it is connected again', async (t) => {
    const moments = await startMoments(t);
    const { radio, bench } = moments;
    t.after(() => radio.hang(false));
    let discovering: Buffer | undefined;
    moments.onAttribute = (link, attribute) => {
      // The characteristics are asked for next, and never answered.
      if (discovering !== undefined || !endsServices(attribute)) return;
      discovering = link;
      radio.hang(true);
    };
    await radio.op('terminate', { id: 1 });
    await eventually(() => discovering !== undefined && strayListeners().some((words) => words.startsWith('service ')), {
      what: 'a discovery under way',
    });
    moments.endLink(discovering ?? Buffer.alloc(2));
    assert.equal(bench.strap(1)?.link.state, 'lost');
    assert.deepEqual(strayListeners(), []);
    radio.hang(false);
    await radio.op('terminate', { id: 1 });
    await bench.flows(1);
    await bench.flows(2);
    await bench.settled();
  });
});
