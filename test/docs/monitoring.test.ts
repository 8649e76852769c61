import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.ts';
import { startBox, type Box } from '../admin-api/page/support/page-pipeline.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** The reason to skip checks by promtool (Debian package prometheus), or false if it is installed. With CI=true its absence is an error. */
function promtoolMissing(): string | false {
  if (spawnSync('promtool', ['--version']).status === 0) return false;
  if (process.env['CI'] === 'true') throw new Error('promtool is missing in CI: install the Debian package prometheus');
  return 'promtool is not installed: metrics and alert rules are not checked';
}

function promtool(args: string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

/** The metrics of a running pipeline, once every service has reported. */
async function metricsOf(box: Box): Promise<string> {
  return await eventually(
    async () => {
      const text = await (await fetch(`${box.url}/metrics`)).text();
      return ['hr_gateway_broker_clients', 'hr_gateway_outbox_held', 'hr_gateway_pages'].every((name) => text.includes(name)) &&
        /hr_gateway_strap_to_stream_seconds_count\{gateway="test-box"\} [1-9]/.test(text)
        ? text
        : undefined;
    },
    { everyMs: 300, what: 'the metrics of all services' },
  );
}

const skip = promtoolMissing();

test('the alert rules are valid, and each alert fires when it must and not before', { skip }, () => {
  assert.equal(promtool(['check', 'rules', file('docs/alerts.yaml')]), '');
  assert.equal(promtool(['test', 'rules', file('test/docs/alerts.test.yaml')]), '');
});

test("metrics follow Prometheus' conventions, docs/monitoring.md lists all of them, and alerts use no others", async (t) => {
  const box = await startBox(t);
  await box.startSimulated();
  const text = await metricsOf(box);
  if (skip === false) assert.equal(promtool(['check', 'metrics'], text), '');
  const there = [...text.matchAll(/^# TYPE (hr_gateway_\w+) /gm)]
    .map(([, name = '']) => name)
    .filter((name) => !name.startsWith('hr_gateway_admin_'));
  const table = readFileSync(file('docs/monitoring.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .join('\n');
  const documented = [...table.matchAll(/`(hr_gateway_\w+)/g)].map(([, name]) => name);
  assert.deepEqual(new Set(there), new Set(documented));
  for (const kind of ['strap_to_stream', 'commit', 'put_records', 'accepted_to_stream']) {
    const count = Number(new RegExp(`^hr_gateway_${kind}_seconds_count\\{gateway="test-box"\\} (\\d+)$`, 'm').exec(text)?.[1]);
    assert.ok(count > 0, kind);
    assert.equal(
      Number(new RegExp(`^hr_gateway_${kind}_seconds_bucket\\{gateway="test-box",le="\\+Inf"\\} (\\d+)$`, 'm').exec(text)?.[1]),
      count,
    );
  }
  const used = readFileSync(file('docs/alerts.yaml'), 'utf8').matchAll(/hr_gateway_[a-z_]*[a-z]/g);
  for (const [name] of used)
    assert.ok(
      there.some((metric) => metric.startsWith(name)),
      `an alert uses the unknown metric ${name}`,
    );
});

test('metrics of a stopped service are omitted, and its service_up is 0', async (t) => {
  const box = await startBox(t);
  await box.startSimulated();
  await metricsOf(box);
  await box.stopForwarder();
  await eventually(
    async () =>
      /hr_gateway_service_up\{gateway="test-box",service="forwarder"\} 0/.test(await (await fetch(`${box.url}/metrics`)).text()),
    { everyMs: 300 },
  );
  await eventually(async () => !(await (await fetch(`${box.url}/metrics`)).text()).includes('hr_gateway_queue_depth'), {
    everyMs: 300,
    what: "the queue's metrics to disappear",
  });
});
