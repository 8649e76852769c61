/** The rights that `hr-gateway acl mosquitto` prints are those that the services need: Mosquitto denies them nothing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { SERVICE_NAMES, serviceStatusTopic, version1StatusTopic } from '../../../contract/topics.ts';
import { covers } from '../../../gateway/rights.ts';
import { operatorToken } from '../../../service/storage/data-dir.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { printedRights } from './support/printed-rights.ts';
import { StrapBox } from './support/strap-box.ts';

const BOX = 'front-desk';
const OTHER = 'gym-2';
/** Readings are few: Mosquitto logs every packet. */
const EVERY_MS = 200;
const OPERATOR_ACL = 'topic readwrite #';

interface MosquittoLog {
  /** Publishes that it swallowed, because the client had no right to them. */
  denied: string[];
  /** Filters of all SUBSCRIBE packets. It grants every one of them, and keeps back messages that the client may not read. */
  subscribed: string[];
}

function readLog(file: string): MosquittoLog {
  const lines = readFileSync(file, 'utf8').split('\n');
  return {
    denied: lines.filter((line) => line.includes('Denied')),
    subscribed: [...new Set(lines.flatMap((line) => /\t(\S+) \(QoS \d\)$/.exec(line)?.[1] ?? []))],
  };
}

/** What a user may read by an ACL file. */
function readable(acl: string, user: string): string[] {
  const lines = acl.split('\n');
  const rest = lines.slice(lines.indexOf(`user ${user}`) + 1);
  const end = rest.findIndex((line) => line.startsWith('user '));
  return rest.slice(0, end).flatMap((line) => /^topic (?:read|readwrite) (\S+)$/.exec(line)?.[1] ?? []);
}

/** Every kind of topic is used once: commands and their answers, a gap, an entity that goes, a restart of each service. */
async function exercise(box: StrapBox, devices: readonly string[]): Promise<void> {
  const call = async (method: string, route: string, body?: object): Promise<void> => {
    const answer = await fetch(`${box.adminUrl}${route}`, {
      method,
      headers: {
        authorization: `Bearer ${operatorToken(box.config)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.equal(answer.status, 200, `${method} ${route}: ${await answer.text()}`);
  };
  await call('POST', '/log-level', { service: 'forwarder', level: 'info' });
  await call('POST', '/log-level', { service: 'ble-bridge', level: 'info' });
  await call('GET', '/dead-letters');
  for (const device of devices) await call('DELETE', `/devices/${device}`);
  for (const name of ['forwarder', 'ble-bridge'] as const) {
    await box.stop(name);
    await box.start(name);
  }
}

for (const served of ['', OTHER])
  test(`with the printed rights Mosquitto denies a box nothing, ${served === '' ? 'on its own' : `serving ${served} too`}`, async (t) => {
    if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
    const environment: Record<string, string> = served === '' ? {} : { FORWARDER_GATEWAYS: served };
    const rights = await printedRights(t, BOX, environment);
    const ofOther = await printedRights(t, OTHER);
    const log = path.join(tempDir(t), 'mosquitto.log');
    const broker = await startMosquitto(t, {
      passwords: `${rights.passwords}${ofOther.passwords}`,
      acl: [OPERATOR_ACL, rights.acl, ofOther.acl].join('\n'),
      allowsAnonymous: true,
      settings: ['log_type all', `log_dest file ${log}`],
    });
    const operator = await connectAsync(broker.url(), { protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => operator.end(true));
    const retained = new Set<string>();
    operator.on('message', (topic, payload) => void (payload.length === 0 ? retained.delete(topic) : retained.add(topic)));
    const status = { state: 'offline', since: '2026-11-01T08:00:00.000Z', version: '1.0.0' };
    for (const service of SERVICE_NAMES)
      await operator.publishAsync(version1StatusTopic(service), JSON.stringify({ service, ...status }), { retain: true });
    await operator.subscribeAsync('#');

    const onBroker = async (name: string, { user, password }: { user: string; password: string }): Promise<StrapBox> =>
      await StrapBox.make(t, {
        name,
        mqttUrl: broker.url(user, password),
        everyMs: EVERY_MS,
        environment: { MQTT_BROKER: 'external', ...environment },
      });
    const box = await onBroker(BOX, rights);
    await operator.publishAsync(`edge/source/${'0'.repeat(16)}`, '{}');
    for (const name of ['admin-api', 'forwarder', 'ble-bridge'] as const) await box.start(name);
    const other = served === '' ? undefined : await onBroker(OTHER, ofOther);
    await other?.start('ble-bridge');

    const gateways = other === undefined ? [BOX] : [BOX, OTHER];
    const seen = await eventually(async () => {
      const readings = await box.stream.readAll();
      return gateways.every((gateway) => readings.some((reading) => reading.gateway === gateway)) ? readings : undefined;
    });
    await exercise(box, [...new Set(seen.map(({ device }) => device))]);
    const runs = new Set(seen.map(({ run }) => run));
    await eventually(async () => (await box.stream.readAll()).some(({ run }) => !runs.has(run)), { what: 'readings again' });
    for (const service of SERVICE_NAMES) assert.ok(!retained.has(version1StatusTopic(service)), version1StatusTopic(service));
    assert.ok(retained.has(serviceStatusTopic(BOX, 'forwarder')));

    const { denied, subscribed } = readLog(log);
    assert.deepEqual(denied, []);
    const granted = [...readable(rights.acl, rights.user), ...(other === undefined ? [] : readable(ofOther.acl, ofOther.user))];
    const filters = subscribed.filter((filter) => filter !== '#');
    assert.ok(filters.length > 15, filters.join(' '));
    assert.deepEqual(
      filters.filter((filter) => !granted.some((right) => covers(right, filter))),
      [],
    );
  });
