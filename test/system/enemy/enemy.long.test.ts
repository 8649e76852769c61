import { describe, test } from 'node:test';
import { virtualRadioMissing } from '../../ble-radio/support/virtual-radio.ts';
import { ATTACKS } from './support/attacks.ts';
import { EnemyBox } from './support/enemy-box.ts';

/** Words of the names of the attacks that are wanted; unset: all of them. */
const WANTED = process.env['ENEMY_ATTACKS'] ?? '';

describe('strangers', { skip: virtualRadioMissing() }, () => {
  test('a box under one attack after the other stores readings in time, names the attacker, and is as before afterwards', async (t) => {
    const box = await EnemyBox.start(t);
    const attacks = ATTACKS.filter(({ name }) => new RegExp(WANTED).test(name));
    for (const attack of attacks) await t.test(attack.name, async (t) => await box.endure(t, attack, 10_000));
    await box.isAsBefore(attacks);
  });
});
