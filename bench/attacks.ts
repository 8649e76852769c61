/** npm run bench:attacks: the whole enemy suite, and what each attack costs the box and the attacker; half an hour. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttackCost } from '../test/system/enemy/support/attack-costs.ts';
import { finish, row } from './support/result.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'hr-attacks-'));
const file = path.join(folder, 'costs.jsonl');
const run = spawnSync(process.execPath, ['--import', 'tsx', 'test/run.ts', '--long', '--only', 'test/system/enemy'], {
  cwd: root,
  env: { ...process.env, ENEMY_COSTS: file },
  stdio: 'inherit',
});
if (run.status !== 0) throw new Error(`the enemy suite ended with ${run.status}: nothing is recorded`);
// An attack that had to be repeated counts as it was the last time.
const costs = new Map<string, AttackCost>();
for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
  const cost = JSON.parse(line) as AttackCost;
  costs.set(cost.name, cost);
}
rmSync(folder, { recursive: true });

const percent = (part: number): number => Math.round(100 * part);
finish({
  bench: 'attacks',
  title: 'What attacks cost',
  note:
    'CPU in percent of one processor: all services together in the seconds before the attack and during it, and the attacker, who gets ' +
    '50 % at most. Memory: the most that the gateway had so far, attacks before this one included, and what the system held for clients.',
  rows: [...costs.values()].map(({ name, before, during, attacker, gatewayMib, systemMib }) =>
    row(name, [
      {
        'box before, CPU %': percent(before),
        'box, CPU %': percent(during),
        'attacker, CPU %': percent(attacker),
        'gateway, MiB': Math.round(gatewayMib),
        'system, MiB': Math.round(systemMib),
      },
    ]),
  ),
});
