/**
 * Keys, token and name of the box while their files fail. Laws: a service starts, or waits and starts once the fault has ended, without
 * anybody's help, or ends at once with a code; what exists stays as it is; no file is ever half written.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { DiskFaults } from '../../../support/disk-faults/disk-faults.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { failingCalls, type FaultCase } from './fault-case.ts';

const ENDED_WITHIN_MS = 60_000;
/** Starts under a lasting fault. */
const STARTS = 2;

export interface KeyFault extends Pick<FaultCase, 'call' | 'kind' | 'duration'> {
  /** No key exists yet. */
  isFirstStart: boolean;
}

interface KeyResult {
  service: string;
  name: string;
  hits: number;
  outcomes: string[];
  broken: string[];
}

/** What the small files of a service hold, by path. */
function smallFiles(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of ['keys', '.']) {
    const below = path.join(folder, name);
    if (!existsSync(below)) continue;
    for (const entry of readdirSync(below, { withFileTypes: true }))
      if (entry.isFile() && (name === 'keys' || /^(token|gateway-name)/.test(entry.name)))
        found.set(path.join(name, entry.name), readFileSync(path.join(below, entry.name), 'utf8').trim());
  }
  return found;
}

const isWhole = (file: string, text: string): boolean => {
  if (file.startsWith('keys/')) return /^[\w-]{43}$/.test(text);
  return file === 'token' ? /^[\w-]{32}$/.test(text) : /^[a-z0-9-]+$/.test(text);
};

type State = 'runs' | 'waits' | 'ended' | 'hangs';

/** A service that was started; resolves once it runs, says that it waits for its disk, or has ended. */
async function startOf(
  t: TestContext,
  service: 'gateway' | 'admin-api',
  folder: string,
  faults: DiskFaults,
): Promise<{ product: ProductProcess; state: State }> {
  const product = startProduct(t, `${service}/main`, {
    DATA_DIR: folder,
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_URL: 'mqtt://127.0.0.1:1',
    ADMIN_PORT: '0',
    ...faults.environment,
  });
  const logged = async (event: string, state: State): Promise<State> =>
    await product.event(event, { withinMs: ENDED_WITHIN_MS }).then(
      () => state,
      () => 'hangs' as const,
    );
  const state = await Promise.race([
    logged('listening', 'runs'),
    logged('start_waits', 'waits'),
    logged('first_start_waits', 'waits'),
    product.ended.then(() => 'ended' as const),
  ]);
  return { product, state };
}

/** Starts a service and ends it; resolves to what came of it, and whether that is sound. `lifted`: ends the fault if it waits. */
async function outcomeOf(
  started: Promise<{ product: ProductProcess; state: State }>,
  lifted?: () => void,
): Promise<{ outcome: string; isSound: boolean }> {
  const { product, state } = await started;
  let outcome: string = state;
  if (state === 'waits' && lifted !== undefined) {
    lifted();
    await product.event('listening', { withinMs: ENDED_WITHIN_MS }).then(
      () => (outcome = 'waits, then runs'),
      () => (outcome = 'hangs'),
    );
  }
  const exit = await product.end(outcome === 'hangs' ? 'SIGKILL' : 'SIGTERM');
  if (outcome === 'hangs') return { outcome: `hangs: ${product.output().slice(-300)}`, isSound: false };
  if (state === 'runs' || state === 'waits') return { outcome, isSound: exit === 0 };
  const code = /^([a-z]+(?:_[a-z]+)+): /m.exec(product.output())?.[1];
  return { outcome: code ?? `${exit}: ${product.output().slice(-300)}`, isSound: exit === 1 && code !== undefined };
}

async function keyCase(t: TestContext, service: 'gateway' | 'admin-api', fault: KeyFault): Promise<KeyResult | undefined> {
  const faults = DiskFaults.make(t);
  if (faults === undefined) return undefined;
  const folder = tempDir(t);
  const broken: string[] = [];
  if (!fault.isFirstStart) await outcomeOf(startOf(t, service, folder, faults));
  const before = smallFiles(folder);
  faults.begin({
    pattern: path.join(folder, '[gkt]*'),
    calls: failingCalls(fault),
    kind: fault.kind,
    ...(fault.duration === 'once' ? { count: failingCalls(fault).length } : {}),
  });
  const outcomes: string[] = [];
  const starts = fault.duration === 'once' ? 1 : STARTS;
  for (let start = 1; start <= starts; start += 1) {
    // The last one outlives the fault.
    const lifted = start === starts ? () => void faults.end() : undefined;
    const { outcome, isSound } = await outcomeOf(startOf(t, service, folder, faults), lifted);
    outcomes.push(outcome);
    if (!isSound) broken.push(`start under the fault: ${outcome}`);
  }
  const hits = faults.end();
  const after = await outcomeOf(startOf(t, service, folder, faults));
  if (after.outcome !== 'runs') broken.push(`start after the fault: ${after.outcome}`);
  const files = smallFiles(folder);
  for (const [file, text] of before) if (files.get(file) !== text) broken.push(`${file} was changed`);
  for (const [file, text] of files) {
    if (file.endsWith('.tmp')) continue;
    if (!isWhole(file, text)) broken.push(`${file} is not whole: ${text.length} characters`);
  }
  const name = `${fault.call} ${fault.kind} ${fault.duration} @${fault.isFirstStart ? 'first start' : 'later start'}`;
  return { service, name, hits, outcomes, broken };
}

const keyTable = (results: readonly KeyResult[]): string =>
  results
    .map(({ service, name, hits, outcomes, broken }) =>
      [
        service.padEnd(9),
        name.padEnd(40),
        `${hits} failed`.padStart(10),
        outcomes.join(','),
        broken.length === 0 ? 'ok' : `BROKEN: ${broken.join('; ')}`,
      ].join(' '),
    )
    .join('\n');

/** Each case on the gateway, which creates the keys, and on the admin API, which reads one and creates the token. */
export async function keySuite(t: TestContext, faults: readonly KeyFault[]): Promise<void> {
  const results: KeyResult[] = [];
  for (const service of ['gateway', 'admin-api'] as const)
    for (const fault of faults) {
      const result = await keyCase(t, service, fault);
      if (result === undefined) return;
      results.push(result);
      if (process.env['FAULTS_LOG'] !== undefined) console.log(keyTable([result]));
    }
  t.diagnostic(`\n${keyTable(results)}`);
  assert.deepEqual(
    results
      .filter(({ broken }) => broken.length > 0)
      .map(({ service, name, broken }) => `${service} ${name}: ${broken.join('; ')}`),
    [],
  );
}
