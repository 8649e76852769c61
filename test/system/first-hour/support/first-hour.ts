/**
 * A person's first hour: a box as `npm start` runs it, in a folder of its own, and a shell beside it in which only commands are typed that
 * a document names. `hr-gateway` and `npm run …` in that shell are the product of this checkout.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { filesBelow, readSource } from '../../../support/source-tree.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { productEntry } from '../../../cli/support/run-cli.ts';
import { startOneProcess, type OneProcess } from '../../pipeline/support/one-process.ts';

const documents = (): string =>
  filesBelow('.')
    .filter((file) => file.endsWith('.md'))
    .map(readSource)
    .join('\n');

export interface Typed {
  /** What stands in the documents for what is typed: `{ 'polar-h10-a1b2c3': 'sim-1' }`. */
  instead?: Readonly<Record<string, string>>;
  /** Typed at a prompt. */
  input?: string;
  /** Default: 0. */
  code?: number;
}

export interface FirstHour {
  box: OneProcess;
  folder: string;
  dataDir: string;
  admin: string;
  mqttPort: number;
  /** Types a documented command and returns what it prints. */
  type(documented: string, typed?: Typed): Promise<string>;
  /** Types it until its output matches. */
  typeUntil(documented: string, expected: RegExp, typed?: Typed): Promise<string>;
}

/** Programs of the shell: the product as a person has it on the PATH, and npm for its scripts. */
function makePath(folder: string): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  const node = [process.execPath, ...productEntry()].map((part) => `'${part}'`).join(' ');
  writeFileSync(path.join(bin, 'hr-gateway'), `#!/bin/sh\nexec ${node} "$@"\n`, { mode: 0o755 });
  // npm passes on the arguments without the first `--`; the script of each command is `node cli/bin.mjs <command>` (bin.test.ts).
  const npm = [
    '#!/bin/bash',
    'shift; [ "$1" != --silent ] || shift',
    'args=() seen=no',
    'for arg; do if [ $seen = no ] && [ "$arg" = -- ]; then seen=yes; else args+=("$arg"); fi; done',
    'exec hr-gateway "${args[@]}"',
    '',
  ].join('\n');
  writeFileSync(path.join(bin, 'npm'), npm, { mode: 0o755 });
  return `${bin}:${process.env['PATH'] ?? ''}`;
}

export async function startFirstHour(t: TestContext, settings: Record<string, string> = {}): Promise<FirstHour> {
  const folder = tempDir(t);
  const dataDir = path.join(folder, 'data');
  const box = startOneProcess(t, dataDir, { BLE_SOURCE: 'simulated', MQTT_SERVICES_PORT: '0', ...settings });
  const { admin, mqttPort } = await box.addresses();
  const environment = { PATH: makePath(folder), HOME: folder, AWS_EC2_METADATA_DISABLED: 'true' };
  const text = documents();

  const run = async (documented: string, { instead = {}, input }: Typed): Promise<{ code: number; output: string }> => {
    assert.ok(text.includes(documented), `no document names: ${documented}`);
    const command = Object.entries(instead).reduce((line, [name, value]) => line.replaceAll(name, value), documented);
    const child = spawn('bash', ['-c', command.replaceAll('127.0.0.1:8080', admin.replace('http://', ''))], {
      cwd: folder,
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input === undefined ? '' : `${input}\n`);
    const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
    return { code, output };
  };
  const type = async (documented: string, typed: Typed = {}): Promise<string> => {
    const { code, output } = await run(documented, typed);
    assert.equal(code, typed.code ?? 0, `${documented}: ${output}`);
    return output;
  };
  return {
    box,
    folder,
    dataDir,
    admin,
    mqttPort,
    type,
    typeUntil: async (documented, expected, typed = {}) => {
      let last = '';
      return await eventually(
        async () => {
          last = (await run(documented, typed)).output;
          return expected.test(last) ? last : undefined;
        },
        { withinMs: 120_000, what: `${documented} prints ${String(expected)}` },
      ).catch((error: unknown) => {
        throw new Error(`${documented} printed ${last}`, { cause: error });
      });
    },
  };
}
