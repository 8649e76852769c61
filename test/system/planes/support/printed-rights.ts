/** Mosquitto with the rights that `hr-gateway acl mosquitto` prints, and users of a test beside them. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { runCli } from '../../../cli/support/run-cli.ts';
import { tempDir } from '../../../support/temp-dir.ts';

export interface PrintedRights {
  passwords: string;
  acl: string;
  /** Name and password of the box. */
  user: string;
  password: string;
}

export async function printedRights(
  t: Pick<TestContext, 'after'>,
  box: string,
  settings: Readonly<Record<string, string>> = {},
  options: readonly string[] = [],
): Promise<PrintedRights> {
  const environment = { DATA_DIR: tempDir(t), GATEWAY_NAME: box, ...settings };
  const { code, stdout, stderr } = await runCli(['acl', 'mosquitto', ...options], { environment });
  assert.equal(code, 0, stderr);
  const [, passwords = '', acl = '', printedSettings = ''] = stdout.split(/^# --- .*\n/m);
  const [, user = '', password = ''] = /MQTT_URL=mqtt:\/\/([^:]+):([^@]+)@/.exec(printedSettings) ?? [];
  assert.ok(user !== '' && passwords.startsWith(`${user}:`), stdout);
  return { passwords: `${passwords.trim()}\n`, acl, user, password };
}
