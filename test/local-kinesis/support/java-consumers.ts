/** AWS' SDK for Java and the KCL, compiled from ../consumers/java once. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { madeOnce } from '../../support/made-once.ts';

const run = promisify(execFile);
const source = fileURLToPath(new URL('../consumers/java', import.meta.url));
const cache = fileURLToPath(new URL('../../../.cache/java', import.meta.url));

function digestOf(folder: string): string {
  const digest = createHash('sha256');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!/\.(xml|java)$/.test(name)) continue;
    digest.update(name).update(readFileSync(path.join(folder, name)));
  }
  return digest.digest('hex').slice(0, 12);
}

const succeeds = (command: string, argument: string): boolean => spawnSync(command, [argument]).status === 0;

/** The versions of the KCL that the tests use. */
export const KCL_VERSIONS = ['3.0.3', '2.7.2'] as const;

/** The class path of the programs, or undefined if Java, Maven or its registry is missing (the reason is printed). */
export async function javaConsumers(kcl: (typeof KCL_VERSIONS)[number] = '3.0.3'): Promise<string | undefined> {
  if (!succeeds('java', '-version') || !succeeds('mvn', '-version')) {
    console.log('cannot make the Java consumers: Java or Maven is not installed');
    return undefined;
  }
  const folder = path.join(cache, `${digestOf(source)}-kcl-${kcl}`);
  const goals = [
    'package',
    'dependency:copy-dependencies',
    `-Dkcl.version=${kcl}`,
    `-DoutputDirectory=${path.join(folder, 'lib')}`,
  ];
  const isMade = await madeOnce(folder, `the Java consumers with KCL ${kcl} (Maven)`, async () => {
    cpSync(source, folder, { recursive: true });
    await run('mvn', ['-q', '-B', '-DskipTests', ...goals], { cwd: folder, maxBuffer: 16 * 1024 * 1024 });
  });
  return isMade ? `${path.join(folder, 'target/classes')}:${path.join(folder, 'lib')}/*` : undefined;
}
