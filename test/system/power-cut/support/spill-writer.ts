/**
 * A process whose outbox spills to disk: too many readings without a broker, then with a forwarder that stores what it receives, then
 * without one again. Arguments: DATA_DIR, number of readings. It ends itself with SIGKILL.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BridgeOutbox } from '../../../../ble-bridge/publishing/bridge-outbox.ts';
import { decodePacket, deliveryStoredTopic, parseOffer, sequencerOfTopic } from '../../../../contract/delivery.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

const [dataDir = '', readings = '0'] = process.argv.slice(2);
const config = testConfig({ DATA_DIR: dataDir, OUTBOX_MEMORY: '100', OUTBOX_WINDOW: '50', OUTBOX_MAX_BYTES: '65536' });
let answering = false;

const outbox = new BridgeOutbox({
  config,
  log: testLog(config),
  writableLength: () => 0,
  publish: (topic, payload) => {
    if (answering) setImmediate(() => answer(topic, payload));
    return answering;
  },
});

/** Acts as a forwarder that stores everything at once. */
function answer(topic: string, payload: string): void {
  const sequencer = sequencerOfTopic(topic);
  if (sequencer === undefined) return;
  const stored = deliveryStoredTopic(sequencer.gateway, sequencer.run);
  const send = (message: object): void => {
    const [handler] = Object.values(outbox.subscriptions);
    handler?.(stored, Buffer.from(JSON.stringify({ queue: 'f000000000000001', ...message })), false);
  };
  const offer = parseOffer(payload);
  if (offer.ok) send({ stored: offer.value.from - 1, sync: offer.value.sync });
  else send({ stored: decodePacket(payload).readings.at(-1)?.seq ?? 0 });
}

async function accept(count: number): Promise<void> {
  for (let taken = 0; taken < count; taken += 1) {
    outbox.accept({
      timestamp: new Date().toISOString(),
      heart_rate: 60 + (taken % 90),
      device: 'strap-1',
      rr_intervals_ms: [],
      sensor_contact: true,
      energy_expended_kj: null,
      clock: 'synced',
    });
    if (taken % 10 === 9) await sleep(8);
  }
}

await outbox.start();
await accept(Number(readings));
answering = true;
outbox.up();
await sleep(1500);
answering = false;
outbox.down();
await accept(Number(readings) / 4);
await sleep(200);
process.kill(process.pid, 'SIGKILL');
