/**
 * A process whose outbox spills to disk: too many readings without a broker, then with a forwarder that stores what it receives, then
 * without one again. Arguments: DATA_DIR, number of readings. It ends itself with SIGKILL.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Outbox } from '../../../../outbox/outbox.ts';
import { decodeResend, parseSource } from '../../../../contract/outbox-protocol.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

const [dataDir = '', readings = '0'] = process.argv.slice(2);
const config = testConfig({ DATA_DIR: dataDir, OUTBOX_MEMORY: '100', OUTBOX_WINDOW: '50', OUTBOX_MAX_BYTES: '65536' });
let answering = false;

const outbox = new Outbox({
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
  const run = topic.slice(topic.lastIndexOf('/') + 1);
  const heard = (message: object): void =>
    outbox.subscriptions[`edge/stored/${run}`]?.(`edge/stored/${run}`, Buffer.from(JSON.stringify(message)), false);
  if (topic.startsWith('edge/source/')) {
    const source = parseSource(payload);
    if (source.ok) heard({ stored: source.value.from - 1, next: source.value.from, sync: source.value.sync });
  } else if (topic.startsWith('edge/resend/')) heard({ stored: decodeResend(Buffer.from(payload)).at(-1)?.seq ?? 0 });
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
