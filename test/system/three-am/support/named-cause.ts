/**
 * What the person at 3 a.m. can look at: health, the page (its text comes from the events), the doctor and the log. Each of them has to
 * name the cause, with one next step, in words that are not doubled and that fit this box.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { DoctorLine } from '../../../../cli/doctor/check-line.ts';
import { runCli } from '../../../cli/support/run-cli.ts';
import { eventually } from '../../../support/eventually.ts';
import type { LogLine } from '../../../support/product-process.ts';
import { getJson } from '../../pipeline/support/one-process.ts';

interface Check {
  name: string;
  status: string;
  code: string;
  reason: string;
  hint: string;
}

export interface FaultyBox {
  admin: string;
  dataDir: string;
  /** Settings of the shell that runs the doctor, beside DATA_DIR. */
  shell?: Record<string, string>;
  /** The target is the local stream. */
  isLocal?: boolean;
  /** The broker is not ours. */
  isExternal?: boolean;
  lines: () => readonly LogLine[];
}

export interface Cause {
  code: string;
  /** What the reason has to say: the thing that is at fault. */
  words: RegExp;
  /** The check that names it, if several have this code. */
  check?: string;
  /** In the doctor's line; default: `words`. */
  doctor?: RegExp;
  /** In a line of the log, as JSON; default: the code or `words`. */
  log?: RegExp;
}

/** "unauthorized: unauthorized: …", "the the". */
const DOUBLED = /\b([\w-]{3,})\b[:,]? \1\b/i;
const OF_AWS = /\bAWS|cloud\/template|\bIAM\b|policy|aws /;

/** One step that fits: not empty, no hint for another target or broker, and no doubled words. */
function assertSound(box: FaultyBox, where: string, text: string, hint: string): void {
  assert.notEqual(hint, '', `${where}: no next step for ${text}`);
  for (const part of [text, hint]) assert.doesNotMatch(part, DOUBLED, where);
  if (box.isLocal === true) assert.doesNotMatch(hint, OF_AWS, `${where}: a hint for AWS, but the target is the local stream`);
  if (box.isExternal === true)
    assert.doesNotMatch(hint, /start the gateway|npm start/i, `${where}: the broker is not our gateway`);
  else assert.doesNotMatch(hint, /credentials in MQTT_URL|external broker/, `${where}: the broker is our gateway`);
}

/** The checks as the page receives them: the health of the first event. */
async function checksOfPage(admin: string): Promise<Check[]> {
  const answer = await fetch(`${admin}/events`);
  const reader = answer.body?.getReader();
  let text = '';
  for (let read = await reader?.read(); read?.value !== undefined && !text.includes('\n\ndata:'); read = await reader?.read()) {
    text += Buffer.from(read.value).toString();
    const data = /event: overview\ndata: (.*)\n\n/.exec(text)?.[1];
    if (data === undefined) continue;
    await reader?.cancel();
    return (JSON.parse(data) as { health: { checks: Check[] } }).health.checks;
  }
  throw new Error(`no overview: ${text}`);
}

export async function doctorLines({ dataDir, shell = {} }: Pick<FaultyBox, 'dataDir' | 'shell'>): Promise<DoctorLine[]> {
  const { stdout, stderr } = await runCli(['doctor', '--json'], { environment: { DATA_DIR: dataDir, ...shell } });
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as DoctorLine[];
}

/** Waits until health names the cause, then looks for it everywhere else. */
export async function assertNamed(box: FaultyBox, { code, words, check: name, doctor = words, log }: Cause): Promise<void> {
  const isNamed = (check: Check): boolean =>
    check.code === code && words.test(check.reason) && (name === undefined || check.name === name);
  let seen: Check[] = [];
  const check = await eventually(
    async () => {
      seen = (await getJson<{ checks: Check[] }>(`${box.admin}/health`)).checks;
      return seen.find(isNamed);
    },
    { withinMs: 90_000, what: `${code} in health: ${JSON.stringify(seen)}` },
  ).catch((error: unknown) => {
    throw new Error(
      `health does not name ${code} ${String(words)}: ${JSON.stringify(seen.filter(({ status }) => status !== 'ok'))}`,
      { cause: error },
    );
  });
  assertSound(box, 'health', check.reason, check.hint);
  assert.ok((await checksOfPage(box.admin)).some(isNamed), `the page does not show ${code}`);
  const text = await (await fetch(`${box.admin}/health?format=text`)).text();
  assert.ok(text.includes(`${code}: ${check.reason}\n      → ${check.hint}\n`), text);

  const lines = await doctorLines(box);
  const line = lines.find(({ status, found }) => status !== 'ok' && doctor.test(found));
  assert.ok(
    line !== undefined,
    `the doctor does not name ${String(doctor)}: ${JSON.stringify(lines.filter(({ status }) => status !== 'ok'))}`,
  );
  for (const { name: where, status, found, advice } of lines)
    if (status !== 'ok') assertSound(box, `doctor, ${where}`, found, advice);

  const logged = log ?? new RegExp(`"${code}"|${words.source}`);
  await eventually(() => box.lines().some((each) => logged.test(JSON.stringify(each))), {
    withinMs: 30_000,
    what: `${String(logged)} in the log`,
  });
}

/** The lines of log files that are JSON. */
export function linesOfFile(file: string): LogLine[] {
  return readFileSync(path.resolve(file), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine);
}
