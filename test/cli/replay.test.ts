import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readRecordings } from '../../recordings/read-recordings.ts';
import { planReplay, type PlannedNotification } from '../../recordings/replay-plan.ts';
import type { StreamReading } from '../system/pipeline/support/stream.ts';
import { caseFile, read, recordingFile } from '../recordings/support/read.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { runCli } from './support/run-cli.ts';

const NO_PORTS = {
  MQTT_LISTEN_PORT: '0',
  MQTT_LISTEN_WS_PORT: '0',
  MQTT_SERVICES_PORT: '0',
  ADMIN_PORT: '0',
  LOCAL_KINESIS_PORT: '0',
};
const ride = recordingFile('short-ride-rr-garmin-edge820.csv');
const run = recordingFile('short-run-rr-garmin-fenix5.csv');

/** What a strap that replays a file sends. */
async function planned(file: string): Promise<PlannedNotification[]> {
  return (await readRecordings(file)).flatMap((recording) => planReplay(recording, { maxPauseMs: 0 }).notifications);
}

const valuesOf = (readings: readonly StreamReading[]): [number, number[]][] =>
  readings.map(({ heart_rate, rr_intervals_ms }) => [heart_rate, rr_intervals_ms.map((ms) => Math.round(ms * 1.024))]);

describe('hr-gateway replay', () => {
  test('--dry-run says what is in the files and touches nothing; a file that cannot be used is a line and exit code 1', async (t) => {
    const folder = tempDir(t);
    writeFileSync(path.join(folder, 'ride.csv.gz'), gzipSync(readFileSync(ride)));
    writeFileSync(path.join(folder, 'diary.txt'), 'Dear diary\n');
    writeFileSync(path.join(folder, 'cut.fit'), caseFile('fit/datasize0.fit'));
    const environment = { DATA_DIR: path.join(folder, 'data') };
    const good = await runCli(['replay', '--dry-run', 'ride.csv.gz', 'cut.fit'], { cwd: folder, environment });
    assert.equal(good.code, 0, good.stderr);
    assert.equal(good.stderr, '');
    assert.deepEqual(good.stdout.split('\n').slice(0, 7), [
      'ride: CSV',
      '  start     not in the file',
      '  duration  1 min 5 s',
      '  readings  15, 101-121 bpm',
      '  RR        122 intervals',
      '  gaps      none over 10 s',
      '  account   15 rows: 15 readings, 122 of 122 RR intervals',
    ]);
    assert.match(good.stdout, /cut: FIT\n {2}start {5}2021-09-08T01:46:40.000Z\n[^]* {2}note {6}the file was not closed/);
    const bad = await runCli(['replay', '--dry-run', 'ride.csv.gz', 'diary.txt', 'none.fit'], { cwd: folder, environment });
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /^ride: CSV/);
    assert.match(
      bad.stderr,
      /recording_unreadable: .*diary.txt: text that begins with “Dear diary”.* work\nhint: .*\n.*none.fit: ENOENT/,
    );
    assert.ok(!readdirSync(folder).includes('data'), 'DATA_DIR was created');
    assert.equal((await runCli(['replay', '--speed', 'fast', 'ride.csv.gz'], { cwd: folder })).code, 2);
  });

  test('replays several files as several straps until everything is in the stream, which an export reads back identically', async (t) => {
    const environment = { ...NO_PORTS, DATA_DIR: tempDir(t) };
    const replay = await runCli(['replay', '--speed', '0', ride, run], { environment });
    assert.equal(replay.code, 0, replay.stderr);
    assert.match(replay.stdout, /0 to be stored, 0 to be shipped\n$/);

    const stream = await startLocalStream(t, { DATA_DIR: environment.DATA_DIR });
    const readings = (await stream.readAll()).sort((a, b) => a.seq - b.seq);
    const devices = [...new Set(readings.map(({ device }) => device))].sort();
    assert.equal(devices.length, 2, devices.join());
    assert.ok(
      readings.every(({ source }) => source === 'replay'),
      'a reading is not marked',
    );
    const cli = { environment: { LOCAL_KINESIS_PORT: String(stream.port), KINESIS_TARGET: 'local' }, cwd: tempDir(t) };
    for (const [device = '', file] of [
      [devices.find((name) => name.startsWith('replay-short-ride')), ride],
      [devices.find((name) => name.startsWith('replay-short-run')), run],
    ] as const) {
      const ofStrap = readings.filter((reading) => reading.device === device);
      const notifications = await planned(file);
      assert.deepEqual(
        valuesOf(ofStrap),
        notifications.map(({ bpm, rr1024 }) => [bpm, rr1024]),
      );
      for (const format of ['csv', 'tcx']) {
        const exported = await runCli(['export', device, '--format', format, '--output', '-'], cli);
        assert.equal(exported.code, 0, exported.stderr);
        const recording = await read(exported.stdout);
        assert.deepEqual(recording.notes, []);
        assert.equal(recording.startedAt, ofStrap[0]?.timestamp);
        const start = Date.parse(recording.startedAt ?? '');
        assert.deepEqual(
          recording.rows.map(({ offsetSeconds, bpm, rrMs }) => [new Date(start + offsetSeconds * 1000).toISOString(), bpm, rrMs]),
          ofStrap.map(({ timestamp, heart_rate, rr_intervals_ms }) => [timestamp, heart_rate, rr_intervals_ms]),
          format,
        );
        // What a strap would send is the same again.
        assert.deepEqual(
          planReplay(recording, { maxPauseMs: 0 }).notifications.map(({ bpm, rr1024 }) => [bpm, rr1024]),
          valuesOf(ofStrap),
        );
      }
      const list = await runCli(['export', device, '--list'], cli);
      assert.match(
        list.stdout,
        new RegExp(`^1  ${ofStrap[0]?.timestamp}  0 min  ${ofStrap.length} readings  \\d+ RR intervals\n$`),
      );
      const file0 = await runCli(['export', device], cli);
      assert.match(
        file0.stdout,
        new RegExp(`^wrote ${ofStrap.length} readings to \\d{4}(_\\d\\d){5}_${device}\\.csv, with the RR intervals`),
      );
    }
    assert.equal(readdirSync(cli.cwd).length, 4);
    const unknown = await runCli(['export', 'anna'], cli);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no readings of anna; straps in the stream: replay-short-ride/);
    assert.equal((await runCli(['export', devices[0] ?? '', '--session', '2'], cli)).code, 1);
  });

  test('Ctrl-C ends it in order with exit code 0, and what was sent is stored', async (t) => {
    const environment = { ...NO_PORTS, DATA_DIR: tempDir(t) };
    const product = startProduct(
      t,
      'cli/main',
      { ...environment, LOG_LEVEL: 'info' },
      { args: ['replay', ride, '--speed', '2'] },
    );
    await product.event('strap_connected');
    const pause = startProduct(t, 'cli/main', environment, { args: ['replay', ride] });
    assert.equal(await pause.ended, 1);
    assert.match(pause.output(), /data_dir_in_use/);
    assert.equal(await product.end('SIGINT'), 0);
    assert.ok(
      product.lines().some(({ event }) => event === 'stopped'),
      'not stopped in order',
    );
  });
});
