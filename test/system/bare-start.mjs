/** Run by .ci/run in an installation without build tools: the compiled product starts, and readings reach the stream. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const folder = mkdtempSync(path.join(tmpdir(), 'hr-gateway-bare-'));
const child = spawn(process.execPath, ['dist/start.js'], {
  env: {
    PATH: process.env.PATH,
    DATA_DIR: folder,
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    ADMIN_PORT: '0',
    LOCAL_KINESIS_PORT: '0',
    LOG_PRETTY: 'false',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let output = '';
child.stdout.on('data', (chunk) => (output += String(chunk)));
const end = Date.now() + 60_000;
let shipped = 0;
while (Date.now() < end && child.exitCode === null && shipped < 5) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  const page = /page\s+(http:\S+)\//.exec(output)?.[1];
  if (page === undefined) continue;
  shipped = await fetch(`${page}/queue`)
    .then((answer) => answer.json())
    .then(
      (queue) => queue.ledger.shipped,
      () => 0,
    );
}
child.kill('SIGTERM');
const code = await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(child.exitCode)));
rmSync(folder, { recursive: true, force: true });
console.log(`shipped ${shipped} readings without build tools; exit code ${code}`);
if (shipped < 5 || code !== 0) {
  console.log(output);
  process.exit(1);
}
