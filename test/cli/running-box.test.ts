/** Commands about a box that runs on ports nobody was told, and about folders that no box uses. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { CliResult } from './support/run-cli.ts';
import { runCli } from './support/run-cli.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { getJson, startOneProcess, type OneProcess, type QueueAnswer } from '../system/pipeline/support/one-process.ts';

const PASSWORD = 'correct horse battery';
const ADD_ANNA = ['users', 'add', 'anna', '--subscribe', 'hr/+/bpm'];

/** A box with simulated straps, on ports that only it knows, whose folder is `data` in a folder of its own. */
async function startBox(
  t: TestContext,
  settings: Record<string, string> = {},
): Promise<OneProcess & { cwd: string; dataDir: string; admin: string }> {
  const cwd = tempDir(t);
  const dataDir = path.join(cwd, 'data');
  const box = startOneProcess(t, dataDir, {
    BLE_SOURCE: 'simulated',
    GATEWAY_NAME: 'front-desk',
    MQTT_SERVICES_PORT: '0',
    ...settings,
  });
  const { admin } = await box.addresses();
  return { ...box, cwd, dataDir, admin };
}

/** The command as an operator types it beside the box: nothing but the folder is known. */
const beside = async (cwd: string, args: readonly string[], input?: string): Promise<CliResult> =>
  await runCli(args, { cwd, ...(input === undefined ? {} : { input }) });

async function json(cwd: string, args: readonly string[], input?: string): Promise<unknown> {
  const { code, stdout, stderr } = await beside(cwd, [...args, '--json'], input);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as unknown;
}

/** Every file below a folder with its size and time. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(path.join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    });
}

describe('beside a running box, with nothing but its folder known', () => {
  test('every command finds it, and changes are made by its services', async (t) => {
    const { cwd, dataDir, admin } = await startBox(t);
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped >= 5, { withinMs: 60_000 });
    const token = readFileSync(path.join(dataDir, 'token'), 'utf8').trim();
    assert.deepEqual(await json(cwd, ['token']), { token });

    const rotated = (await json(cwd, ['token', '--rotate'])) as { token: string };
    assert.notEqual(rotated.token, token);
    const retry = async (bearer: string): Promise<number> =>
      (await fetch(`${admin}/dead-letters`, { headers: { authorization: `Bearer ${bearer}` } })).status;
    assert.deepEqual(
      [await retry(token), await retry(rotated.token)],
      [401, 200],
      'the new token is valid at once, the old one no longer',
    );

    assert.deepEqual(await json(cwd, ADD_ANNA, PASSWORD), { name: 'anna', subscribe: ['hr/+/bpm'], publish: [] });
    assert.deepEqual(await json(cwd, ['users', 'list']), { anna: { subscribe: ['hr/+/bpm'], publish: [] } });
    assert.deepEqual(await json(cwd, ['users', 'remove', 'anna']), { removed: 'anna' });
    const unknown = await beside(cwd, ['users', 'remove', 'anna']);
    assert.deepEqual([unknown.code, /^user_unknown: .*anna\nhint: /.test(unknown.stderr)], [1, true], unknown.stderr);

    const settings = (await json(cwd, ['config'])) as { name: string; value: string; source: string }[];
    const valueOf = (name: string): string | undefined => settings.find((setting) => setting.name === name)?.value;
    assert.equal(valueOf('GATEWAY_NAME'), 'front-desk');
    assert.notEqual(valueOf('LOCAL_KINESIS_PORT'), '0', 'the port that was chosen');

    const tailed = await beside(cwd, ['tail', '--from', 'oldest', '--count', '3', '--json']);
    assert.equal(
      tailed.stdout
        .trim()
        .split('\n')
        .filter((line) => line.includes('"heart_rate"')).length,
      3,
      tailed.stderr,
    );
    const verified = (await json(cwd, ['verify'])) as { ok: boolean; records: number };
    assert.ok(verified.ok && verified.records >= 5, JSON.stringify(verified));
    const [device = ''] = (await getJson<{ device: string }[]>(`${admin}/devices`)).map((each) => each.device);
    const listed = (await json(cwd, ['export', device, '--list'])) as { readings: number }[];
    assert.ok((listed[0]?.readings ?? 0) > 0, 'a session of a strap');
    const rights = (await json(cwd, ['acl', 'mosquitto'])) as { acl_file: string[] };
    assert.ok(rights.acl_file.includes('user front-desk'), JSON.stringify(rights));

    const backup = (await json(cwd, ['backup'])) as { file: string; bytes: number };
    assert.equal(statSync(backup.file).size, backup.bytes);
    const refused = await beside(cwd, ['restore', backup.file]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^box_running: /m);

    const lines = (await json(cwd, ['doctor'])) as { name: string; status: string }[];
    const bad = lines.filter(
      ({ name, status }) =>
        status !== 'ok' && ['box', 'broker', 'gateway', 'forwarder', 'queue', 'stream', 'stream limits'].includes(name),
    );
    assert.deepEqual(bad, []);
    assert.ok(
      lines.some(({ name }) => name === 'box'),
      'the doctor names the box',
    );
  });

  test('a folder whose path is too long for a socket works, too', async (t) => {
    const cwd = path.join(tempDir(t), 'a-long-name-of-a-folder'.repeat(4), 'another-long-name'.repeat(3));
    mkdirSync(cwd, { recursive: true });
    const box = startOneProcess(t, path.join(cwd, 'data'), { BLE_SOURCE: 'simulated', MQTT_SERVICES_PORT: '0' });
    await box.addresses();
    assert.deepEqual(await json(cwd, ['users', 'list']), {});
    // The system would cut the path off, and all services would share what is left of it.
    const sockets = readdirSync(path.join(cwd, 'data/locks')).filter((name) => name.endsWith('.sock'));
    for (const service of ['gateway', 'forwarder', 'admin-api'])
      assert.ok(sockets.includes(`${service}.sock`), sockets.join(' '));
  });

  test('another user of the machine can open neither socket nor folder', async (t) => {
    const { dataDir } = await startBox(t);
    assert.equal(statSync(path.join(dataDir, 'locks')).mode & 0o077, 0);
    for (const name of readdirSync(path.join(dataDir, 'locks')).filter((each) => each.endsWith('.sock')))
      assert.equal(statSync(path.join(dataDir, 'locks', name)).mode & 0o077, 0, name);
  });
});

describe('without a running box', () => {
  test('nothing is written into a folder that no box uses, whatever the command', async (t) => {
    const cwd = tempDir(t);
    writeFileSync(path.join(cwd, 'backup.db'), 'x');
    for (const args of [
      ADD_ANNA,
      ['users', 'add', '--bridge', 'gym-2'],
      ['users', 'remove', 'anna'],
      ['users', 'list'],
      ['token'],
      ['token', '--rotate'],
      ['backup'],
      ['restore', 'backup.db'],
      ['restore', '--list'],
    ]) {
      const { code, stdout, stderr } = await beside(cwd, args, PASSWORD);
      assert.equal(code, 1, args.join(' '));
      assert.equal(stdout, '', args.join(' '));
      assert.match(stderr, /^box_not_running: .*no box uses \S+\/data\nhint: .*DATA_DIR.*\n$/, args.join(' '));
    }
    const acl = await beside(cwd, ['acl', 'mosquitto']);
    assert.equal(acl.code, 1);
    assert.match(acl.stderr, /set GATEWAY_NAME, or start the box once; nothing was written/);
    assert.equal((await beside(cwd, ['config'])).code, 0);
    assert.equal((await beside(cwd, ['doctor'])).code, 1);
    assert.deepEqual(readdirSync(cwd), ['backup.db']);
  });

  test('commands that read use the folder of the stopped box and say so; changes are refused and nothing changes', async (t) => {
    const { cwd, dataDir, end } = await startBox(t);
    await json(cwd, ADD_ANNA, PASSWORD);
    assert.equal(await end(), 0);
    const before = filesOf(dataDir);
    const token = await beside(cwd, ['token']);
    assert.equal(token.stdout.trim(), readFileSync(path.join(dataDir, 'token'), 'utf8').trim());
    assert.match(token.stderr, /^hr-gateway: no running box answers in \S+\/data; read from the file token\n$/);
    const users = await beside(cwd, ['users', 'list']);
    assert.equal(users.stdout, 'anna  subscribe: hr/+/bpm  publish: nothing\n');
    assert.match(users.stderr, /no running box answers in \S+\/data; read from users\.json/);
    for (const args of [['users', 'add', 'ben'], ['users', 'remove', 'anna'], ['token', '--rotate'], ['backup']]) {
      const { code, stderr } = await beside(cwd, args, PASSWORD);
      assert.equal(code, 1, args.join(' '));
      assert.match(stderr, /^box_not_running: .*of the box in \S+\/data does not run\n/, args.join(' '));
    }
    assert.deepEqual(filesOf(dataDir), before);
  });

  test('a socket that a killed box left is no running box', async (t) => {
    const { cwd, end } = await startBox(t);
    await end('SIGKILL');
    const { code, stderr } = await beside(cwd, ADD_ANNA, PASSWORD);
    assert.equal(code, 1);
    assert.match(stderr, /^box_not_running: /);
  });
});

describe('hr-gateway restore', () => {
  const AWAY = {
    KINESIS_TARGET: 'http://127.0.0.1:1',
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'y',
    ALLOW_TEST_READINGS: 'true',
  };

  test('puts a backup in the place of the queue, keeps the old one, and the box ships what the backup held', async (t) => {
    const { cwd, dataDir, admin, end } = await startBox(t, AWAY);
    const accepted = async (): Promise<number> => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.accepted;
    await eventually(async () => (await accepted()) >= 10, { withinMs: 60_000 });
    const { file } = (await json(cwd, ['backup'])) as { file: string };
    await eventually(async () => (await accepted()) >= 20, { withinMs: 60_000 });
    // Killed: the log of the old queue is beside it.
    await end('SIGKILL');
    const old = readFileSync(path.join(dataDir, 'queue.db'));
    assert.deepEqual(
      ((await json(cwd, ['restore', '--list'])) as { file: string }[]).map((each) => each.file),
      [file],
    );
    const restored = (await json(cwd, ['restore', file])) as { queued: number; kept: string };
    assert.ok(restored.queued >= 10, JSON.stringify(restored));
    assert.deepEqual(readFileSync(path.join(restored.kept, 'queue.db')), old);
    assert.ok(readdirSync(restored.kept).includes('queue.db-wal'), 'the log of the old queue is kept with it');
    assert.deepEqual(
      readdirSync(dataDir).filter((name) => name.startsWith('queue.db-')),
      [],
      'the old log is not read into the new file',
    );
    const again = startOneProcess(t, dataDir, {
      ...AWAY,
      BLE_SOURCE: 'simulated',
      GATEWAY_NAME: 'front-desk',
      MQTT_SERVICES_PORT: '0',
    });
    const at = await again.addresses();
    // Without a status of the forwarder the answer is 503, and has no ledger.
    const queued = async (): Promise<number> =>
      (await getJson<Partial<QueueAnswer>>(`${at.admin}/queue`)).ledger?.queued ?? Number.NaN;
    await eventually(async () => (await queued()) >= restored.queued, { withinMs: 60_000, what: 'the restored readings wait' });
    const health = await getJson<{ checks: { code: string }[] }>(`${at.admin}/health`);
    assert.deepEqual(
      health.checks.filter(({ code }) => code === 'queue_damaged'),
      [],
    );
  });

  test('a file that is no backup changes nothing', async (t) => {
    const { cwd, dataDir, end } = await startBox(t);
    assert.equal(await end(), 0);
    const damaged = path.join(cwd, 'damaged.db');
    const bytes = readFileSync(path.join(dataDir, 'queue.db'));
    bytes.fill(0xff, 2048, 6144);
    writeFileSync(damaged, bytes);
    const text = path.join(cwd, 'text.db');
    writeFileSync(text, 'not a database');
    const inUse = path.join(cwd, 'in-use.db');
    copyFileSync(path.join(dataDir, 'queue.db'), inUse);
    writeFileSync(`${inUse}-wal`, 'x');
    const before = filesOf(dataDir).filter((line) => !line.startsWith('locks'));
    for (const file of [damaged, text, inUse, path.join(cwd, 'missing.db'), cwd]) {
      const { code, stderr } = await beside(cwd, ['restore', file]);
      assert.equal(code, 1, file);
      assert.match(stderr, /^backup_unusable: /m, file);
    }
    assert.deepEqual(
      filesOf(dataDir).filter((line) => !line.startsWith('locks')),
      before,
    );
  });
});

test('without a box, a command that reads the local stream says where that runs, and acl whose name it prints', async (t) => {
  const cwd = tempDir(t);
  for (const args of [['tail', '--count', '1'], ['verify'], ['export', 'polar-h10-a1b2c3']]) {
    const { code, stdout, stderr } = await runCli(args, { cwd, environment: { LOCAL_KINESIS_PORT: '9' } });
    assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(stderr, /ECONNREFUSED.*; the local stream runs in the box: start the box, or set DATA_DIR to its folder\n/);
  }
  mkdirSync(path.join(cwd, 'data'));
  writeFileSync(path.join(cwd, 'data/gateway-name'), 'stored-name\n');
  const printed = await runCli(['acl', 'mosquitto'], { cwd });
  assert.match(printed.stdout, /^user stored-name$/m);
  assert.match(printed.stderr, /no running box answers in \S+; a box that is started here would be named stored-name\n/);
  const named = await runCli(['acl', 'mosquitto'], { cwd, environment: { GATEWAY_NAME: 'front-desk' } });
  assert.deepEqual([named.code, named.stderr], [0, '']);
});

test('bash completes commands, sub-commands and options', async (t) => {
  const { execFileSync } = await import('node:child_process');
  const { stdout } = await runCli(['completion', 'bash'], { cwd: tempDir(t) });
  const complete = (...words: string[]): string[] =>
    execFileSync(
      'bash',
      [
        '-c',
        [
          stdout,
          `COMP_WORDS=(hr-gateway ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}`,
          `_hr_gateway; printf '%s\\n' "\${COMPREPLY[@]}"`,
        ].join('\n'),
      ],
      { encoding: 'utf8' },
    )
      .trim()
      .split('\n');
  assert.deepEqual(complete('re'), ['replay', 'restore']);
  assert.ok(complete('users', '').includes('remove'), 'sub-commands of users');
  assert.deepEqual(complete('users', 'add', '--sub'), ['--subscribe']);
  assert.deepEqual(complete('tail', '--fr'), ['--from']);
});

test('a file of settings is read as systemd reads it, and the environment wins', async (t) => {
  const cwd = tempDir(t);
  const file = path.join(cwd, 'settings.env');
  writeFileSync(
    file,
    [
      '# KINESIS_MODE=aggregated',
      '; a comment',
      'GATEWAY_NAME="front-desk"',
      'KINESIS_STREAM=from-the-file',
      'BLE_ALIASES=Fenix 8*=anna # not a comment',
      "QUEUE_MAX_BYTES='2 GiB'",
      'BLE_ALLOW=a,\\',
      'b',
      '',
    ].join('\n'),
  );
  const { stdout, code, stderr } = await runCli(['--settings', file, 'config', '--json'], {
    cwd,
    environment: { KINESIS_STREAM: 'from-here' },
  });
  assert.equal(code, 0, stderr);
  const values = new Map((JSON.parse(stdout) as { name: string; value: string }[]).map(({ name, value }) => [name, value]));
  for (const [name, value] of [
    ['KINESIS_MODE', 'records'],
    ['GATEWAY_NAME', 'front-desk'],
    ['KINESIS_STREAM', 'from-here'],
    ['BLE_ALIASES', 'Fenix 8*=anna # not a comment'],
    ['QUEUE_MAX_BYTES', String(2 * 1024 ** 3)],
    ['BLE_ALLOW', 'a,b'],
  ])
    assert.equal(values.get(name ?? ''), value, name);
  const missing = await runCli(['--settings', path.join(cwd, 'missing'), 'config'], { cwd });
  assert.equal(missing.code, 2);
});
