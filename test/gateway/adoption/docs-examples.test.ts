/** The chapter "Publish from your own app" of docs/mqtt.md: its examples work, and its codes are the codes that there are. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { readPayload, type PayloadOutcome } from '../../../contract/publication/adopted-reading.ts';
import { ADOPTION_REFUSALS } from '../../../contract/dead-letter.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { pythonWith } from '../../support/python-venv.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const run = promisify(execFile);
const page = readFileSync(new URL('../../../docs/mqtt.md', import.meta.url), 'utf8');
const chapter = page.slice(page.indexOf('## Publish from your own app')).split('\n## ')[0] ?? '';

/** The first example under a heading. */
function example(heading: string): string {
  const section = chapter.slice(chapter.indexOf(`### ${heading}\n`));
  const code = /```[a-z]+\n(.*?)```/s.exec(section)?.[1];
  assert.ok(code !== undefined, heading);
  return code;
}

const started = async (t: TestContext): Promise<TestGateway> =>
  await startGateway(t, {}, { 'my-app': { password: 'secret', publish: ['hr/Bike1/bpm'] } });
const read = (payload: string): PayloadOutcome =>
  readPayload(Buffer.from(payload), { device: 'x', publisher: 'my-app', arrivedAt: new Date(), clock: 'synced' });
function assertReading(payload: string): void {
  const outcome = read(payload);
  assert.equal(outcome.kind === 'reading' && outcome.reading['heart_rate'], 72, payload);
}

test('the mosquitto_pub example is a reading', async (t) => {
  const gateway = await started(t);
  const [program = '', ...args] = example('mosquitto_pub').trim().replace('1883', String(gateway.ports.mqtt)).split(' ');
  try {
    await run(program, args);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return cannotRun(t, 'mosquitto_pub is not installed');
    throw error;
  }
  const [reading] = gateway.memory.readings;
  assert.deepEqual([reading?.['heart_rate'], reading?.['device'], reading?.['publisher']], [72, 'Bike1', 'my-app']);
});

test('the Python example is a reading, and prints that it is stored', async (t) => {
  const python = await pythonWith('paho', ['paho-mqtt==2.1.0']);
  if (python === undefined) return cannotRun(t, 'paho-mqtt cannot be installed');
  const gateway = await started(t);
  const { stdout } = await run(python, ['-c', example('Python').replace('1883', String(gateway.ports.mqtt))]);
  assert.equal(stdout.trim(), 'stored');
  assert.equal(gateway.memory.readings[0]?.['heart_rate'], 72);
});

test('the Node-RED function makes a reading of a number', () => {
  const run = (payload: number): unknown =>
    runInNewContext(`(function () { ${example('Node-RED')} })().payload`, { msg: { payload } });
  // An mqtt out node sends objects as JSON.
  assertReading(JSON.stringify(run(71.6)));
});

test('the ESPHome payload is a reading', () => {
  const format = /str_sprintf\(("(?:[^"\\]|\\.)*"), lround\(x\)\)/.exec(example('ESPHome'))?.[1];
  assert.ok(format !== undefined);
  assertReading(String(JSON.parse(format)).replace('%ld', '72'));
});

test('the Home Assistant template is a reading', async (t) => {
  const template = /payload: >-\n\s*(.*)/.exec(example('Home Assistant'))?.[1];
  assert.ok(template !== undefined);
  const python = await pythonWith('jinja', ['jinja2==3.1.6']);
  if (python === undefined) return cannotRun(t, 'jinja2 cannot be installed');
  const script = `
import sys, datetime, types, jinja2
state = types.SimpleNamespace(state="71.7", last_updated=datetime.datetime.now(datetime.timezone.utc))
trigger = types.SimpleNamespace(to_state=state)
print(jinja2.Environment().from_string(sys.argv[1]).render(trigger=trigger))
`;
  const { stdout } = await run(python, ['-c', script, template]);
  assertReading(stdout);
});

test('every payload in the table of payloads is read as the table says', () => {
  const payloads = [...chapter.matchAll(/^\| (`.*?`(?:, `.*?`)*) \| (?:heart rate|the same|as above|no pulse)/gm)].flatMap(
    (row) => [...(row[1] ?? '').matchAll(/`(.*?)`/g)].map((match) => (match[1] ?? '').replace(', …', '')),
  );
  assert.equal(payloads.length, 6);
  for (const payload of payloads) {
    if (payload.startsWith('0') || payload.includes(': 0}')) assert.equal(read(payload).kind, 'no_pulse');
    else assertReading(payload);
  }
});

test('the table of refusals names every code that there is, and no other', () => {
  const table = chapter.slice(chapter.indexOf('| code | example |')).split('\n\n')[0] ?? '';
  const named = [...table.matchAll(/^\| ((?:`[a-z0-9_]+`(?:, )?)+) \|/gm)].flatMap((row) =>
    [...(row[1] ?? '').matchAll(/`([a-z0-9_]+)`/g)].map((match) => match[1] ?? ''),
  );
  assert.deepEqual(named.toSorted(), ADOPTION_REFUSALS.toSorted());
});
