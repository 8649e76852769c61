import { describe, test } from 'node:test';
import { virtualRadioMissing } from '../../ble-radio/support/virtual-radio.ts';
import { ATTACKS } from './support/attacks.ts';
import { EnemyBox } from './support/enemy-box.ts';

/** A sample; the others are in enemy.long.test.ts. */
const SAMPLE = [/^subscribes 3,000 times/, /^does not read/, /^guesses passwords/];

describe('strangers', { skip: virtualRadioMissing() }, () => {
  test('a box under attack stores readings in time, names the attacker, and is as before afterwards', async (t) => {
    const box = await EnemyBox.start(t);
    const attacks = SAMPLE.flatMap((words) => ATTACKS.filter(({ name }) => words.test(name)));
    for (const attack of attacks) await t.test(attack.name, async (t) => await box.endure(t, attack, 4500));
    await box.isAsBefore(attacks);
  });
});
