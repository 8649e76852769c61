import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Admission, type Rank } from '../../../ble-bridge/straps/admission.ts';

/** Offers `perSecond` new addresses a second for some seconds; returns how many of them were admitted. */
function flood(admission: Admission, rank: Rank, perSecond: number, fromMs: number, seconds: number): number {
  let admitted = 0;
  for (let n = 0; n < perSecond * seconds; n += 1)
    if (admission.admits(`${rank} ${fromMs} ${n}`, rank, -60, fromMs + (n * 1000) / perSecond)) admitted += 1;
  return admitted;
}

describe('the admission of straps', () => {
  test('new addresses per minute are bounded, for strangers and for those that a pattern allows alike', () => {
    const admission = new Admission();
    assert.ok(flood(admission, 'stranger', 200, 0, 60) <= 121);
    assert.ok(flood(admission, 'listed', 200, 0, 60) <= 121, 'in numbers of their own');
    assert.ok(flood(admission, 'stranger', 200, 60_000, 60) <= 61, 'and again in the next minute');
  });

  test('a strap of our own is admitted in any flood', () => {
    const admission = new Admission();
    flood(admission, 'stranger', 200, 0, 10);
    assert.equal(admission.admits('mine', 'own', -80, 10_000), true);
  });

  test('a new strap that stays in the air is admitted in a flood of addresses that do not', () => {
    const admission = new Admission();
    flood(admission, 'stranger', 200, 0, 1);
    assert.equal(admission.admits('new', 'stranger', -80, 996), false);
    flood(admission, 'stranger', 200, 1100, 9);
    assert.equal(admission.admits('new', 'stranger', -80, 10_000), true);
  });

  test('thirty straps that are switched on together are all admitted, without a warning', () => {
    const admission = new Admission();
    for (let n = 0; n < 30; n += 1) assert.equal(admission.admits(`strap ${n}`, 'stranger', -70, n * 10), true);
    assert.equal(admission.check(1000).status, 'ok');
  });

  test('the check warns from the first address that has to wait, names the strongest, and passes after 30 quiet seconds', () => {
    const admission = new Admission();
    flood(admission, 'stranger', 200, 0, 5);
    admission.admits('close', 'stranger', -31, 4996);
    const check = admission.check(5100);
    assert.deepEqual([check.status, check.code], ['warn', 'many_unknown_straps']);
    assert.match(check.reason, /^\d+ unknown addresses within 30 s .* -31 dBm, of close$/);
    assert.equal(admission.check(34_000).status, 'warn');
    assert.equal(admission.check(35_200).status, 'ok');
  });
});
