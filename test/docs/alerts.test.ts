/** The alert rules of docs/alerts.yaml, run by promtool: each fires for its cause, and none fires in an empty gym. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { HEALTH_REASONS, UPLINK_REASONS } from '../../service/errors/reason-catalogue.ts';
import { tempDir } from '../support/temp-dir.ts';
import { alertsFile, promtool, promtoolMissing } from './support/promtool.ts';

interface Series {
  series: string;
  values: string;
}
interface Rule {
  name: string;
  /** Reason codes that its expression names. */
  codes: string[];
  forMinutes: number;
}

const skip = promtoolMissing();
const MINUTES = 60;

/** Codes of ERRORS that checks carry. */
const ERROR_CODES = ['radio_unavailable', 'radio_stuck', 'radio_scan_refused', 'certificate_unusable'];
/** Codes without a rule, and why no person is needed. */
const NOT_ALERTED: Record<string, string> = {
  queue_checking: 'passes by itself; ReadingsLate and ReadingsNotStored fire if it lasts',
  throttled: 'sending is retried more slowly; ReadingsLate fires if the stream is too small',
  rejected: 'the record is located and becomes a dead letter, for which DeadLetters fires',
};

/** The rules of docs/alerts.yaml; promtool checks that the file is valid. */
function rules(): Rule[] {
  return readFileSync(alertsFile, 'utf8')
    .split('- alert: ')
    .slice(1)
    .map((text) => ({
      name: /^\w+/.exec(text)?.[0] ?? '',
      codes: [...text.matchAll(/code=~?"([a-z0-9_|]+)"/g)].flatMap(([, codes = '']) => codes.split('|')),
      forMinutes: Number(/^ +for: (\d+)m$/m.exec(text)?.[1] ?? 0),
    }));
}

const check = (code: string, status: string, values: string, name = 'a check'): Series => ({
  series: `hr_gateway_check{instance="box", gateway="gym", check="${name}", status="${status}", code="${code}"}`,
  values,
});

const metric = (text: string, values: string): Series => ({
  series: text.replace('{', '{instance="box", gateway="gym", '),
  values,
});

/** A box at night: nobody is there, straps were forgotten on their hooks, the network was away for some minutes. */
const EMPTY_GYM: Series[] = [
  { series: 'up{job="hr-gateway", instance="box"}', values: `1x5 0x3 1x${MINUTES}` },
  ...['broker', 'ble-bridge', 'forwarder', 'gateway', 'radio', 'queue', 'clock'].map((name) =>
    check('', 'ok', `1x${MINUTES}`, name),
  ),
  check('', 'ok', `1x5 _x8 1x${MINUTES}`, 'uplink'),
  check('unreachable', 'fail', `_x5 1x5 _x${MINUTES}`, 'uplink'),
  check('throttled', 'warn', `_x10 1x3 _x${MINUTES}`, 'uplink'),
  // A restart of the box.
  check('service_unknown', 'fail', `1 _x${MINUTES}`, 'forwarder'),
  check('queue_checking', 'warn', `_ 1x3 _x${MINUTES}`, 'queue'),
  metric('hr_gateway_straps{state="lost"}', `3x${MINUTES}`),
  metric('hr_gateway_straps{state="streaming"}', `_x${MINUTES}`),
  metric('hr_gateway_straps{state="silent"}', `1x${MINUTES}`),
  metric('hr_gateway_queue_oldest_age_seconds{}', `0x5 0+60x5 0x${MINUTES}`),
  metric('hr_gateway_readings_evicted_total{cause="queue_full"}', `7x${MINUTES}`),
  metric('hr_gateway_readings_missed_total{}', `0x${MINUTES}`),
  metric('hr_gateway_outbox_dropped_total{}', `0x${MINUTES}`),
];

interface Expectation {
  eval_time: string;
  alertname: string;
  exp_alerts: { exp_labels?: Record<string, string>; exp_annotations?: Record<string, string> }[];
}

/** What promtool says about these expectations; empty if they hold. */
function verdict(folder: string, series: Series[], expectations: Expectation[]): string {
  const file = path.join(folder, 'alerts.test.json');
  const tests = [{ interval: '1m', input_series: series, alert_rule_test: expectations }];
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ rule_files: [alertsFile], evaluation_interval: '1m', tests }));
  return promtool(['test', 'rules', file]);
}

const silent = (alertname: string, minute: number): Expectation => ({ eval_time: `${minute}m`, alertname, exp_alerts: [] });

/** The alerts that promtool says fire at a minute, by rule. */
function firing(folder: string, series: Series[], minute: number): string[] {
  return rules()
    .map(({ name }) => name)
    .filter((name) => verdict(folder, series, [silent(name, minute)]) !== '');
}

test('the alert rules are valid', { skip }, () => {
  assert.equal(promtool(['check', 'rules', alertsFile]), '');
});

test('no alert fires in an empty gym at night', { skip }, (t) => {
  const expectations = rules().flatMap(({ name }) => [6, 12, 18, 30, 59].map((minute) => silent(name, minute)));
  assert.equal(verdict(tempDir(t), EMPTY_GYM, expectations), '');
});

test('every code of a check has one rule, unless no person is needed', () => {
  const named = rules().flatMap(({ codes }) => codes);
  const codes = [...Object.keys(HEALTH_REASONS), ...Object.keys(UPLINK_REASONS), ...ERROR_CODES];
  assert.deepEqual([...named, ...Object.keys(NOT_ALERTED)].sort(), codes.sort());
});

test('a failing check fires its rule and no other, once it has lasted, and not before', { skip }, (t) => {
  const folder = tempDir(t);
  for (const { name, codes, forMinutes } of rules())
    for (const code of codes) {
      const status = code in UPLINK_REASONS && code !== 'key_refused' ? 'fail' : 'warn';
      const series = [check(code, status, `_x10 1x${MINUTES}`)];
      const others = rules().flatMap((rule) => (rule.name === name ? [] : [silent(rule.name, 59)]));
      const before = forMinutes === 0 ? [] : [silent(name, 9 + forMinutes)];
      assert.equal(verdict(folder, series, [silent(name, 9), ...before, ...others]), '', code);
      assert.notEqual(verdict(folder, series, [silent(name, 12 + forMinutes)]), '', `${code} does not fire ${name}`);
    }
});

test('a box without a working radio, with no other fault, raises an alert that names gateway and code', { skip }, (t) => {
  const series = [...EMPTY_GYM, check('radio_unavailable', 'fail', `1x${MINUTES}`, 'the adapter')];
  const exp_annotations = {
    summary: 'gym reads no straps: its Bluetooth adapter does not work (radio_unavailable)',
  };
  const exp_labels = {
    severity: 'critical',
    instance: 'box',
    gateway: 'gym',
    check: 'the adapter',
    status: 'fail',
    code: 'radio_unavailable',
  };
  const folder = tempDir(t);
  const expected = { eval_time: '20m', alertname: 'RadioDown', exp_alerts: [{ exp_labels, exp_annotations }] };
  assert.equal(verdict(folder, series, [expected]), '');
});

test('an uplink that fails by one cause after the other is down all the time', { skip }, (t) => {
  const series = [
    check('unreachable', 'fail', `${'1 _ '.repeat(30)}`.trim()),
    check('error', 'fail', `${'_ 1 '.repeat(30)}`.trim()),
  ];
  assert.deepEqual(firing(tempDir(t), series, 30), ['UplinkDown']);
});

test('dead letters that an operator discards, and test readings that stay on the box, are no lost readings', { skip }, (t) => {
  const series = ['discarded', 'test_reading'].map((cause) =>
    metric(`hr_gateway_readings_evicted_total{cause="${cause}"}`, `0x20 5x40`),
  );
  const kept = metric('hr_gateway_readings_evicted_total{cause="queue_full"}', `3x60`);
  assert.deepEqual(firing(tempDir(t), [...series, kept], 30), []);
});

for (const [name, series, minute] of [
  ['BoxAway', [{ series: 'up{job="hr-gateway", instance="box"}', values: `0x${MINUTES}` }], 6],
  ['ReadingsLate', [metric('hr_gateway_queue_oldest_age_seconds{}', `0+60x${MINUTES}`)], 30],
  // No reading was evicted; then a cause appears for the first time.
  [
    'ReadingsLost',
    [
      metric('hr_gateway_readings_evicted_total{}', `0x20 _x40`),
      metric('hr_gateway_readings_evicted_total{cause="queue_full"}', `_x20 5x40`),
    ],
    30,
  ],
] as const)
  test(`${name} fires, and fires alone`, { skip }, (t) => {
    const folder = tempDir(t);
    assert.deepEqual(firing(folder, [...series], minute), [name]);
    assert.equal(verdict(folder, [...series], [silent(name, 4)]), '');
  });
