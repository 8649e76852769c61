/** Fuzzes the path of a notification from the controller's bytes through unmodified noble to the reading. */
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { checkNotification } from '../../ble-bridge/support/notification-laws.ts';
import { notificationBytes } from '../../ble-bridge/support/parser-laws.ts';
import { eventually } from '../../support/eventually.ts';
import { startBench } from './radio-bench.ts';
import { startVirtualRadio } from './virtual-radio.ts';

type Give = (packet: Buffer) => void;

/** The controller's packet with another value: 02 handle(2) length(2), l2cap length(2) cid(2), 1b value handle(2), value. */
function withValue(notification: Buffer, value: Buffer): Buffer {
  const packet = Buffer.concat([notification.subarray(0, 12), value]);
  packet.writeUInt16LE(7 + value.length, 3);
  packet.writeUInt16LE(3 + value.length, 5);
  return packet;
}

/** Captures one notification of a virtual strap, then delivers `numRuns` random and mutated ones as if the controller had sent them. */
export async function fuzzThroughNoble(t: Pick<TestContext, 'after'>, numRuns: number): Promise<void> {
  const radio = await startVirtualRadio(t);
  await radio.add(1, { name: 'Fuzz', period: 0 });
  let real: { notification: Buffer; give: Give } | undefined;
  const marker = Buffer.from('163c0004', 'hex');
  (globalThis as { hciTap?: (packet: Buffer, give: Give) => void }).hciTap = (packet, give) => {
    if (packet[0] === 2 && packet[9] === 0x1b && packet.subarray(12).equals(marker)) real = { notification: packet, give };
  };
  t.after(() => delete (globalThis as { hciTap?: unknown }).hciTap);
  const bench = await startBench(t, radio, { environment: { BLE_SILENCE_MS: '600000' } });
  await bench.listening(1);
  await radio.raw(1, marker);
  const { notification, give } = await eventually(() => real);
  const strap = bench.strap(1);
  if (strap === undefined) throw new Error('no strap');
  bench.readings.splice(0);
  const malformed = (): number => bench.statistics.metrics.malformed.read().values.reduce((sum, { value }) => sum + value, 0);
  fc.assert(
    fc.property(notificationBytes, (bytes) =>
      checkNotification(bytes, {
        strap,
        readings: bench.readings,
        malformed,
        deliver: (value) => give(withValue(notification, value)),
      }),
    ),
    { numRuns },
  );
  await bench.settled();
}
