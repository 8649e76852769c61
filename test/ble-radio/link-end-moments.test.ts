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
  /** Called with each ATT packet (link handle, opcode and parameters) before noble receives it. */
  onAttribute: (handle: Buffer, attribute: Buffer) => void;
  /** Makes the controller report to noble that a link has ended, out of range. */
  endLink: (handle: Buffer) => void;
}

/** Two streaming straps, and a tap between controller and noble. */
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

/** The answer that ends service discovery: "attribute not found" (01 10 …), or a group up to 0xffff (11 length start end uuid …). */
function endsServices(attribute: Buffer): boolean {
  if (attribute[0] === 0x01) return attribute[1] === 0x10;
  const last = attribute.subarray(-(attribute[1] ?? 0));
  return attribute[0] === 0x11 && last.length >= 4 && last.readUInt16LE(2) === 0xffff;
}

describe('a link that ends at a critical moment', { skip: virtualRadioMissing() }, () => {
  test('between a write and its packet: causes no unhandled rejection, and the other strap keeps streaming', async (t) => {
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

  test('between discovery of services and characteristics: leaves no listener, and the strap is connected again', async (t) => {
    const moments = await startMoments(t);
    const { radio, bench } = moments;
    t.after(() => radio.hang(false));
    let discovering: Buffer | undefined;
    moments.onAttribute = (link, attribute) => {
      // The request for characteristics comes next, and is never answered.
      if (discovering !== undefined || !endsServices(attribute)) return;
      discovering = link;
      radio.hang(true);
    };
    await radio.op('terminate', { id: 1 });
    await eventually(() => discovering !== undefined && bench.strap(1)?.link.state === 'connected', {
      what: 'a discovery in progress',
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
