import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.ts';
import { startBox, type Box } from '../admin-api/page/support/page-pipeline.ts';
import { tempDir } from '../support/temp-dir.ts';
import { promtool, promtoolMissing } from './support/promtool.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

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

interface Panel {
  title: string;
  targets?: { expr: string }[];
}
interface Dashboard {
  panels: Panel[];
  templating: { list: { query: string | { query: string } }[] };
}

/** The queries of docs/grafana-dashboard.json, by panel. */
function dashboardQueries(): { title: string; expr: string }[] {
  const { panels, templating } = JSON.parse(readFileSync(file('docs/grafana-dashboard.json'), 'utf8')) as Dashboard;
  const variables = templating.list
    .map(({ query }) => (typeof query === 'string' ? query : query.query))
    .flatMap((query) => /^label_values\((.+), \w+\)$/.exec(query)?.[1] ?? [])
    .map((expr) => ({ title: 'a variable', expr }));
  return [...variables, ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))];
}

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
  const series = new Set([...text.matchAll(/^(hr_gateway_\w+)[{ ]/gm)].map(([, name = '']) => name));
  const queries = dashboardQueries();
  assert.ok(queries.length >= 15, `only ${queries.length} queries found in the dashboard`);
  for (const { title, expr } of queries) {
    const names = [...expr.matchAll(/hr_gateway_\w+/g)].map(([name]) => name);
    assert.ok(names.length > 0, `${title} asks for no metric of ours: ${expr}`);
    for (const name of names) assert.ok(series.has(name) || there.includes(name), `${title} asks for the unknown metric ${name}`);
  }
});

test('Prometheus accepts each query of the dashboard', { skip }, (t) => {
  const rules = dashboardQueries().map(({ expr }, index) => ({
    record: `dashboard:query_${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$gateway', 'gym'),
  }));
  // JSON is YAML.
  const rulesFile = path.join(tempDir(t), 'rules.json');
  writeFileSync(rulesFile, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  assert.equal(promtool(['check', 'rules', rulesFile]), '');
});

test('a check of GET /health is a metric with its status and code, and the failing one changes when it recovers', async (t) => {
  const box = await startBox(t);
  const metricsNow = async (): Promise<string> => await (await fetch(`${box.url}/metrics`)).text();
  const line = (name: string, status: string, code: string): RegExp =>
    new RegExp(`^hr_gateway_check\\{gateway="test-box",check="${name}",status="${status}",code="${code}"\\} 1$`, 'm');
  await eventually(async () => line('ble-bridge', 'fail', 'service_unknown').test(await metricsNow()), { everyMs: 200 });
  await box.startSimulated();
  await eventually(async () => line('radio', 'ok', '').test(await metricsNow()), { everyMs: 200 });
  const text = await metricsNow();
  assert.match(text, line('ble-bridge', 'ok', ''));
  assert.doesNotMatch(text, /hr_gateway_check\{[^}]*service_unknown/);
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
