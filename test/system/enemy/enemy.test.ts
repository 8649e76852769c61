import { test } from 'node:test';
import { ATTACKS } from './support/attacks.ts';
import { EnemyBox } from './support/enemy-box.ts';

/** A sample; the others are in enemy.long.test.ts. */
const SAMPLE = [/^subscribes 3,000 times/, /^does not read/, /^guesses passwords/];

test('a box under attack stores readings in time, names the attacker, and is as before afterwards', async (t) => {
  const box = await EnemyBox.start(t);
  for (const words of SAMPLE) for (const attack of ATTACKS.filter(({ name }) => words.test(name))) await box.endure(attack, 4000);
  await box.isAsBefore();
});
