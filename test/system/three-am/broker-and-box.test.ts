/** 3 a.m.: the broker, the disks, the adapter, a certificate, a name. */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { productArgs } from '../../support/product-process.ts';
import { makeSigningAuthority } from '../../support/signed-certificates.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson, startOneProcess, type QueueAnswer } from '../pipeline/support/one-process.ts';
import { assertNamed, linesOfFile } from './support/named-cause.ts';

const MiB = 1024 * 1024;
const DAY_MS = 86_400_000;
const SIMULATED = { BLE_SOURCE: 'simulated', MQTT_SERVICES_PORT: '0' };
/** The banner of a box on an external broker names no broker of its own. */
const addressOf = async (output: () => string): Promise<string> =>
  await eventually(() => /page\s+(http:\/\/\S+?)\/?\s/.exec(output())?.[1], { withinMs: 60_000, what: 'the banner' });

describe('a fault of the broker is named in health, page, doctor and log', () => {
  test('two boxes of one name, a wrong password, a dead broker: all of another broker', async (t) => {
    if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
    const broker = await startMosquitto(t, { passwords: { box: 'right-password' }, acl: 'user box\ntopic readwrite #\n' });
    const start = (password: string, dataDir: string) =>
      startOneProcess(t, dataDir, {
        ...SIMULATED,
        GATEWAY_NAME: 'front-desk',
        MQTT_BROKER: 'external',
        MQTT_URL: broker.url('box', password),
      });
    const [firstDir, otherDir, wrongDir] = [tempDir(t), tempDir(t), tempDir(t)];
    const first = start('right-password', firstDir);
    const other = start('right-password', otherDir);
    const box = { admin: await addressOf(first.output), dataDir: firstDir, isExternal: true, isLocal: true, lines: first.lines };
    await assertNamed(box, { code: 'gateway_name_taken', words: /of another box is named front-desk too: on \S+, process \d+/ });
    await other.end();

    const wrong = start('wrong-password', wrongDir);
    await assertNamed(
      { admin: await addressOf(wrong.output), dataDir: wrongDir, isExternal: true, isLocal: true, lines: wrong.lines },
      { code: 'broker_refused', words: /not authorized/i, check: 'broker', log: /mqtt_error.*ot authorized/ },
    );
    await wrong.end();

    await broker.stop('SIGKILL');
    await assertNamed(box, {
      code: 'broker_unreachable',
      words: /ECONNREFUSED/,
      check: 'broker',
      log: /mqtt_error.*ECONNREFUSED/,
    });
  });
});

describe('a fault of the box is named in health, page, doctor and log', () => {
  test('a full disk', async (t) => {
    const disk = smallDisk(64 * MiB);
    if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
    const dataDir = path.join(disk.folder, 'data');
    const box = startOneProcess(t, dataDir, { ...SIMULATED, QUEUE_MIN_FREE_DISK_BYTES: '1 MiB', SIMULATED_STRAPS: '10' });
    const { admin } = await box.addresses();
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.accepted > 0, { withinMs: 60_000 });
    disk.fillTo(0);
    await assertNamed(
      { admin, dataDir, isLocal: true, lines: box.lines },
      {
        code: 'disk_full',
        words: /full|no space|free/i,
        check: 'queue',
        doctor: /disk_full/,
        log: /queue_not_accepting|disk_full/,
      },
    ).catch(
      async () =>
        // With the reserve of QUEUE_MIN_FREE_DISK_BYTES gone the first to notice is the limit.
        await assertNamed(
          { admin, dataDir, isLocal: true, lines: box.lines },
          { code: 'disk_low', words: /free/i, check: 'queue', doctor: /disk_low/, log: /queue_not_accepting/ },
        ),
    );
    disk.clear();
  });

  test('a damaged queue, an absent adapter, an expired certificate', async (t) => {
    const dataDir = tempDir(t);
    const away = {
      KINESIS_TARGET: 'http://127.0.0.1:1',
      AWS_REGION: 'x',
      AWS_ACCESS_KEY_ID: 'x',
      AWS_SECRET_ACCESS_KEY: 'y',
      ALLOW_TEST_READINGS: 'true',
    };
    const before = startOneProcess(t, dataDir, { ...SIMULATED, ...away, SIMULATED_STRAPS: '20' });
    const { admin: firstAdmin } = await before.addresses();
    await eventually(async () => (await getJson<QueueAnswer>(`${firstAdmin}/queue`)).ledger.accepted > 100, { withinMs: 90_000 });
    await before.end();
    const file = path.join(dataDir, 'queue.db');
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8 * 1024, 12 * 1024);
    writeFileSync(file, bytes);
    const authority = makeSigningAuthority(tempDir(t));
    const { certFile, keyFile } = authority.sign({
      names: ['DNS:localhost'],
      from: new Date(Date.now() - 3 * DAY_MS),
      to: new Date(Date.now() - DAY_MS),
    });
    const box = startOneProcess(t, dataDir, {
      MQTT_SERVICES_PORT: '0',
      BLE_SOURCE: 'noble',
      BLE_ADAPTER: 'hci7',
      MQTT_TLS_CERT_FILE: certFile,
      MQTT_TLS_KEY_FILE: keyFile,
      MQTT_TLS_LISTEN_PORT: '0',
      MQTT_TLS_LISTEN_WS_PORT: '0',
    });
    const { admin } = await box.addresses();
    const faulty = { admin, dataDir, isLocal: true, lines: box.lines };
    await assertNamed(faulty, { code: 'queue_damaged', words: /\d+ /, doctor: /queue_damaged/, log: /queue_damaged/ });
    await assertNamed(faulty, { code: 'certificate_expired', words: /\.(pem|crt) expired on 20/ });
    await assertNamed(faulty, {
      code: 'radio_unavailable',
      words: /hci7|Bluetooth/,
      doctor: /radio_unavailable|hci7/,
      log: /radio_unavailable|adapter/,
    });
  });

  test('a full disk of the log', async (t) => {
    const disk = smallDisk(256 * 1024);
    if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
    disk.fillTo(0);
    const log = path.join(disk.folder, 'log');
    const output = openSync(log, 'a');
    const dataDir = tempDir(t);
    const port = await freePort();
    const child = spawn(process.execPath, productArgs('start'), {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        DATA_DIR: dataDir,
        LOG_PRETTY: 'false',
        ADMIN_PORT: String(port),
        MQTT_LISTEN_PORT: '0',
        MQTT_LISTEN_WS_PORT: '0',
        LOCAL_KINESIS_PORT: '0',
        ...SIMULATED,
      },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    t.after(() => child.kill('SIGKILL'));
    const admin = `http://127.0.0.1:${port}`;
    await eventually(async () => (await fetch(`${admin}/health/live`).catch(() => undefined))?.ok === true, { withinMs: 90_000 });
    let isCleared = false;
    const lines = () => {
      // The log can only say so once there is space again.
      if (!isCleared) disk.clear();
      isCleared = true;
      return linesOfFile(log);
    };
    await assertNamed(
      { admin, dataDir, isLocal: true, lines },
      { code: 'log_lines_lost', words: /ENOSPC.*lines of this process were lost/, log: /log_lines_lost/ },
    );
  });
});
