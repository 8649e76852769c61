/** moto's server: AWS' APIs in one Python process, on a free port of loopback. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { pythonWith } from '../../support/python-venv.ts';

/** moto[server] brings boto3; cfn-lint also reads the template for the deployment. */
const PACKAGES = ['moto[server]==5.2.5', 'cfn-lint==1.58.0'];

/** The Python that has moto, boto3 and cfn-lint; undefined if it cannot be created. */
export async function cloudPython(): Promise<string | undefined> {
  return await pythonWith('cloud', PACKAGES);
}

/** Starts the server; its URL. */
export async function startMoto(t: Pick<TestContext, 'after'>, python: string): Promise<string> {
  const child = spawn(python, ['-m', 'moto.server', '-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    createInterface({ input: child.stderr }).on('line', (line) => {
      output += `${line}\n`;
      const match = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line);
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    child.once('exit', () => reject(new Error(`moto's server ended: ${output}`)));
  });
  return url;
}

/** From now on moto checks (or no longer checks) every caller's rights. */
export async function checkRights(url: string, on: boolean): Promise<void> {
  const answer = await fetch(`${url}/moto-api/reset-auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: on ? '0' : 'inf',
  });
  if (!answer.ok) throw new Error(await answer.text());
}
