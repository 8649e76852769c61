/** A real Mosquitto with the configuration of a test. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { freePort } from '../free-port.ts';
import { tempDir } from '../temp-dir.ts';
import { BrokerProcess } from './broker-process.ts';

const BINARY = '/usr/sbin/mosquitto';

export const MOSQUITTO_MISSING = 'mosquitto is not installed';

export const hasMosquitto = (): boolean => existsSync(BINARY);

export interface MosquittoOptions {
  /** Content of the password file, or users whose passwords are put into one. */
  passwords: string | Readonly<Record<string, string>>;
  /** Content of the ACL file. */
  acl: string;
  /** Whether clients without a name are let in; their rights are the ACL's lines before its first `user`. */
  allowsAnonymous?: boolean;
  /** Where its files `passwords` and `acl` are; default: a folder of its own. */
  folder?: string;
  /** Further lines of mosquitto.conf. */
  settings?: readonly string[];
}

function writePasswords(file: string, passwords: MosquittoOptions['passwords']): void {
  writeFileSync(file, typeof passwords === 'string' ? passwords : '', { mode: 0o600 });
  if (typeof passwords === 'string') return;
  for (const [user, password] of Object.entries(passwords)) {
    const { status, stderr } = spawnSync('mosquitto_passwd', ['-b', file, user, password], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`mosquitto_passwd: ${stderr}`);
  }
}

export async function startMosquitto(t: Pick<TestContext, 'after'>, options: MosquittoOptions): Promise<BrokerProcess> {
  const folder = options.folder ?? tempDir(t);
  const file = (name: string): string => path.join(folder, name);
  const port = await freePort();
  writePasswords(file('passwords'), options.passwords);
  writeFileSync(file('acl'), options.acl, { mode: 0o600 });
  const lines = [
    // The first line that it reads as root; as another user it has no effect.
    'user root',
    `listener ${port} 127.0.0.1`,
    `allow_anonymous ${options.allowsAnonymous === true}`,
    `password_file ${file('passwords')}`,
    `acl_file ${file('acl')}`,
    'persistence true',
    `persistence_location ${folder}/`,
    'max_queued_messages 0',
    ...(options.settings ?? []),
  ];
  writeFileSync(file('mosquitto.conf'), `${lines.join('\n')}\n`);
  const broker = new BrokerProcess(t, { command: BINARY, args: ['-c', file('mosquitto.conf')], port });
  await broker.start();
  return broker;
}
