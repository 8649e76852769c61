/** Clients that speak for a strap. Laws: no true reading is lost or replaced, no forged one has another's identity or device. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { tempDir } from '../../support/temp-dir.ts';
import type { StreamReading } from '../pipeline/support/stream.ts';
import { Attacker, FORGED_HEART_RATE } from './support/attacker.ts';
import { printedRights } from './support/printed-rights.ts';
import { assertTrueRun, StrapBox } from './support/strap-box.ts';

const PASSWORD = 'pass-word';
const ATTACK_MS = 5000;
const ATTACKERS_RIGHTS = 'user one\ntopic write hr/x/bpm\ntopic read hr/#\nuser wide\ntopic write hr/+/bpm\ntopic read hr/#\n';
const OFFER_WAIT_MS = 11_000;

interface Attacked {
  box: StrapBox;
  attackers: readonly Attacker[];
  /** Identity of the strap that the attackers spoke for. */
  run: string;
  device: string;
}

async function attack(
  t: TestContext,
  box: StrapBox,
  url: string,
  during: () => Promise<void> = async () => {},
): Promise<Attacked> {
  const attackers = [
    new Attacker(t, { url, login: {}, ownDevice: 'x' }),
    new Attacker(t, { url, login: { username: 'one', password: PASSWORD }, ownDevice: 'x' }),
    new Attacker(t, { url, login: { username: 'wide', password: PASSWORD }, ownDevice: 'y' }),
  ];
  await eventually(() => attackers.every((attacker) => attacker.attempts > 0), {
    what: 'every attacker has read a live reading',
  });
  await sleep(ATTACK_MS / 2);
  await during();
  await sleep(ATTACK_MS / 2);
  for (const attacker of attackers) attacker.stop();
  const { run = '', device = '' } = attackers[1]?.victim ?? {};
  await box.stop('ble-bridge');
  return { box, attackers, run, device };
}

/** What the stream holds once nothing of the attack is under way; on another broker, messages wait for 10 s for an offer of their run. */
async function shipped({ box }: Attacked, waitsMs = 0): Promise<StreamReading[]> {
  let before = -1;
  await sleep(waitsMs);
  return await eventually(
    async () => {
      const readings = await box.stream.readAll();
      const isSettled = readings.length === before;
      before = readings.length;
      return isSettled ? readings : undefined;
    },
    { everyMs: 1500, what: 'nothing more is shipped' },
  );
}

function assertNothingForged(t: TestContext, readings: readonly StreamReading[], { attackers, run, device }: Attacked): void {
  const newest = assertTrueRun(readings, run);
  const lastRead = Math.max(...attackers.map(({ victim }) => victim?.seq ?? 0));
  assert.ok(newest >= lastRead, `${newest} are in the stream, ${lastRead} were published live`);
  const forged = readings.filter(({ heart_rate: bpm }) => bpm === FORGED_HEART_RATE);
  const asAnother = forged.filter((reading) => !['x', 'y'].includes(reading.device) || reading.run === run);
  assert.deepEqual(asAnother.slice(0, 3), [], `${asAnother.length} forged readings of ${device}`);
  const attempts = attackers.map((attacker) => attacker.attempts);
  t.diagnostic(
    `${attempts.join(' + ')} attempts; ${newest} true readings; ${forged.length} stored as readings of the attackers' devices`,
  );
  assert.ok(
    attempts.every((count) => count > 20),
    'the attack took place',
  );
}

test('on our broker nobody can speak for a strap, not even while the gateway restarts, and the attempts are counted', async (t) => {
  const port = await freePort();
  const url = `mqtt://127.0.0.1:${port}`;
  const box = await StrapBox.make(t, { name: 'front-desk', mqttUrl: url, environment: { MQTT_LISTEN_PORT: String(port) } });
  writeUsers(box.config, {
    one: await newUser(PASSWORD, { publish: ['hr/x/bpm'], subscribe: ['hr/#'] }),
    wide: await newUser(PASSWORD, { publish: ['hr/+/bpm'], subscribe: ['hr/#'] }),
  });
  const counts = { publish_right: 0, will_right: 0, claimed: 0 };
  let gateway = await box.start('gateway');
  const count = (): void => {
    counts.publish_right += gateway.breaches['publish_right'] ?? 0;
    counts.will_right += gateway.breaches['will_right'] ?? 0;
    counts.claimed += gateway.adoption.outcomes['claimed'] ?? 0;
  };
  await box.start('forwarder');
  await box.start('ble-bridge');
  const attacked = await attack(t, box, url, async () => {
    count();
    await box.stop('gateway');
    gateway = await box.start('gateway');
  });
  count();
  const readings = await shipped(attacked);
  assertNothingForged(t, readings, attacked);
  t.diagnostic(JSON.stringify(counts));
  for (const [name, value] of Object.entries(counts)) assert.ok(value > 0, `${name}: ${value}`);
});

test('a name that a strap had stays its own while the bridge is away and the gateway restarts', async (t) => {
  const port = await freePort();
  const box = await StrapBox.make(t, {
    name: 'front-desk',
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    environment: { MQTT_LISTEN_PORT: String(port) },
  });
  writeUsers(box.config, { wide: await newUser(PASSWORD, { publish: ['hr/+/bpm'], subscribe: [] }) });
  await box.start('gateway');
  await box.start('forwarder');
  await box.start('ble-bridge');
  const { device } = await eventually(async () => (await box.stream.readAll())[0]);
  await box.stop('ble-bridge');
  await box.stop('gateway');
  const gateway = await box.start('gateway');
  const client = await connectAsync(box.config.MQTT_URL, { username: 'wide', password: PASSWORD, protocolVersion: 4 });
  t.after(() => client.end(true));
  await client.publishAsync(`hr/${device}/bpm`, String(FORGED_HEART_RATE), { qos: 1 });
  assert.equal(gateway.adoption.outcomes['claimed'], 1);
  assert.ok((await box.stream.readAll()).every(({ heart_rate: bpm }) => bpm !== FORGED_HEART_RATE));
});

test('on Mosquitto with the printed rights nobody can speak for a strap, and the attempts are counted', async (t) => {
  if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
  const rights = await printedRights(t, 'front-desk');
  const passwordFile = path.join(tempDir(t), 'passwords');
  appendFileSync(passwordFile, rights.passwords);
  for (const user of ['one', 'wide']) assert.equal(spawnSync('mosquitto_passwd', ['-b', passwordFile, user, PASSWORD]).status, 0);
  const broker = await startMosquitto(t, {
    passwords: readFileSync(passwordFile, 'utf8'),
    acl: ['topic read hr/#', rights.acl, ATTACKERS_RIGHTS].join('\n'),
    allowsAnonymous: true,
  });
  const box = await StrapBox.make(t, {
    name: 'front-desk',
    mqttUrl: broker.url(rights.user, rights.password),
    environment: { MQTT_BROKER: 'external' },
  });
  await box.start('forwarder');
  await box.start('ble-bridge');
  await box.start('admin-api');
  const attacked = await attack(t, box, broker.url(), async () => await broker.restart());
  const readings = await shipped(attacked, OFFER_WAIT_MS);
  assertNothingForged(t, readings, attacked);
  const refused = (await box.queue()).ledger.dead;
  t.diagnostic(`${refused} dead letters`);
  assert.ok(refused > 0, `${refused} attempts are dead letters`);
});
