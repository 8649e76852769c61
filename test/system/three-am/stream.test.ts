/** 3 a.m.: readings do not leave, and the stream, its credentials or the clock are the cause. */
import { describe, test } from 'node:test';
import { startLocalStream } from '../../support/local-stream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startOneProcess } from '../pipeline/support/one-process.ts';
import { assertNamed, type Cause } from './support/named-cause.ts';

const KEYS = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE1234', AWS_SECRET_ACCESS_KEY: 'a-secret' };

describe('a fault of the stream is named in health, page, doctor and log', () => {
  test('wrong and lapsed credentials, missing rights, a missing or throttled stream, a wrong clock', async (t) => {
    const stream = await startLocalStream(t);
    const dataDir = tempDir(t);
    const settings = {
      KINESIS_TARGET: stream.endpoint,
      ALLOW_TEST_READINGS: 'true',
      BLE_SOURCE: 'simulated',
      MQTT_SERVICES_PORT: '0',
      ...KEYS,
    };
    const box = startOneProcess(t, dataDir, settings);
    const { admin } = await box.addresses();
    const faulty = { admin, dataDir, shell: KEYS, lines: box.lines };
    const causes: readonly (readonly [Parameters<typeof stream.faults>[0], Cause])[] = [
      [{ request: 'unrecognizedClient' }, { code: 'unauthorized', words: /security token/i }],
      [{ request: 'expiredToken' }, { code: 'credentials_expired', words: /expired/i }],
      [{ request: 'accessDenied' }, { code: 'unauthorized', words: /not authorized/i }],
      [{ request: 'streamMissing' }, { code: 'stream_missing', words: /not found|does not exist/i }],
      [{ request: 'throttled' }, { code: 'throttled', words: /rate|exceeded|throttl/i }],
      [
        { clockOffsetMs: -3 * 3_600_000 },
        { code: 'clock_wrong', words: /this box is \d+ ms ahead of the stream/, doctor: /this box is \d+ ms ahead/ },
      ],
    ];
    for (const [fault, cause] of causes) {
      await stream.faults(fault);
      await assertNamed(faulty, cause);
    }
  });

  test('without credentials', async (t) => {
    const dataDir = tempDir(t);
    const home = { HOME: tempDir(t), AWS_REGION: 'eu-west-1' };
    const box = startOneProcess(t, dataDir, {
      KINESIS_TARGET: 'aws',
      ALLOW_TEST_READINGS: 'true',
      BLE_SOURCE: 'simulated',
      MQTT_SERVICES_PORT: '0',
      ...home,
    });
    const { admin } = await box.addresses();
    await assertNamed({ admin, dataDir, shell: home, lines: box.lines }, { code: 'unauthorized', words: /credential/i });
  });

  test('the local stream has another name: no hint speaks of AWS', async (t) => {
    const stream = await startLocalStream(t, { KINESIS_STREAM: 'its-own-name' });
    const dataDir = tempDir(t);
    // As in containers: the local stream is a service of its own, and the forwarder has another KINESIS_STREAM.
    const { startProduct } = await import('../../support/product-process.ts');
    const { freePort } = await import('../../support/free-port.ts');
    const [mqtt, services, http] = [await freePort(), await freePort(), await freePort()];
    const settings = {
      DATA_DIR: dataDir,
      MQTT_LISTEN_PORT: String(mqtt),
      MQTT_LISTEN_WS_PORT: '0',
      MQTT_SERVICES_PORT: String(services),
      ADMIN_PORT: String(http),
      LOCAL_KINESIS_PORT: String(stream.port),
      BLE_SOURCE: 'simulated',
    };
    const started = ['gateway', 'forwarder', 'admin-api', 'ble-bridge'].map((service) =>
      startProduct(t, `${service}/main`, settings),
    );
    const lines = () => started.flatMap((each) => each.lines());
    const admin = `http://127.0.0.1:${http}`;
    await assertNamed({ admin, dataDir, isLocal: true, lines }, { code: 'stream_missing', words: /not found|does not exist/i });
    await stream.faults({ request: 'throttled' });
    await assertNamed({ admin, dataDir, isLocal: true, lines }, { code: 'throttled', words: /rate|exceeded|throttl/i });
    // The gateway of this box is dead.
    await started[0]?.end('SIGKILL');
    await assertNamed(
      { admin, dataDir, isLocal: true, lines },
      {
        code: 'broker_away',
        words: /no connection to the broker/,
        doctor: /does not answer.*ECONNREFUSED/,
        log: /mqtt_error.*ECONNREFUSED/,
      },
    );
  });
});
