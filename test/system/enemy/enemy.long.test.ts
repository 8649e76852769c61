import { test } from 'node:test';
import { ATTACKS } from './support/attacks.ts';
import { EnemyBox } from './support/enemy-box.ts';

test('a box under one attack after the other stores readings in time, names the attacker, and is as before afterwards', async (t) => {
  const box = await EnemyBox.start(t);
  for (const attack of ATTACKS) await box.endure(attack, 10_000);
  await box.isAsBefore();
});
