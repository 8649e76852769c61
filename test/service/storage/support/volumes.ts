/** The one volume of 1.0.0 as its services left it, and the volumes of the services beside it. */
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SERVICE_NAMES } from '../../../../contract/topics.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const data = fileURLToPath(new URL('../../../data/', import.meta.url));

export const KEYS = Object.fromEntries(SERVICE_NAMES.map((service) => [service, `${service}-key-of-1.0.0`.padEnd(43, 'x')]));

/** Every file of a folder with its content, by its path. */
export function filesIn(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  const visit = (sub: string): void => {
    for (const entry of readdirSync(path.join(folder, sub)).sort()) {
      const name = path.join(sub, entry);
      if (lstatSync(path.join(folder, name)).isDirectory()) visit(name);
      else files.set(name, readFileSync(path.join(folder, name), 'latin1'));
    }
  };
  visit('');
  return files;
}

/** Volumes, all empty but the first, which is the volume of 1.0.0 with queued and spilled readings. */
export function volumesOf1(
  t: Pick<TestContext, 'after'>,
  root = tempDir(t),
): { root: string; first: string; before: Map<string, string> } {
  for (const service of SERVICE_NAMES) mkdirSync(path.join(root, service), { recursive: true });
  const first = path.join(root, 'forwarder');
  cpSync(path.join(data, 'queue-schema-1.db'), path.join(first, 'queue.db'));
  cpSync(path.join(data, 'spill-1.0.0'), path.join(first, 'outbox'), { recursive: true });
  cpSync(path.join(data, 'users-1.0.0.json'), path.join(first, 'users.json'));
  const write = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(first, name)), { recursive: true });
    writeFileSync(path.join(first, name), text, { mode: 0o600 });
  };
  for (const [service, key] of Object.entries(KEYS)) write(`keys/${service}`, `${key}\n`);
  write('token', 'the-token-of-1.0.0\n');
  write('gateway-name', 'front-desk\n');
  write('devices.json', '{}');
  write('last-readings.json', '{}');
  write('local-kinesis.db', 'records of the local stream');
  write('local-kinesis.db-wal', 'more of them');
  write('backups/queue-2026.db', 'a backup');
  write('outbox/0123456789abcdef-00000001.spill.damaged-1', 'kept');
  write('notes.txt', 'whatever a person put there');
  return { root, first, before: filesIn(first) };
}
