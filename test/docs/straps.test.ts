import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { format, resolveConfig } from 'prettier';
import { disconnectReason, HCI_REASONS, OUR_ENDS } from '../../ble-bridge/radio/disconnect-reasons.ts';
import { strapLines } from '../../cli/doctor/strap-lines.ts';
import { DEVICE_STATES, STRAP_REASONS as REASON_CODES } from '../../contract/device-status.ts';
import { STRAP_REASONS } from '../../service/errors/reason-catalogue.ts';
import { explain, LINK_ENDS, STRAP_STATES } from '../../service/errors/strap-catalogue.ts';
import { strapStatesModule } from '../../tools/docs/tables.ts';
import { deviceStatus } from '../support/messages.ts';
import { readSource } from '../support/source-tree.ts';

const { STATES, REASON_HINTS } = (await import(new URL('../../admin-api/page/strap-states.js', import.meta.url).href)) as {
  STATES: Record<string, unknown>;
  REASON_HINTS: Record<string, unknown>;
};
const document = readSource('docs/sensors.md');
const [states = '', ends = ''] = document.split('### Why links end');
const firstCells = (text: string): string[] => [...text.matchAll(/^\| `([a-z_]+)` \|/gm)].map((match) => match[1] ?? '');

describe('what a strap does is explained', () => {
  test('docs/sensors.md has every state of the contract, with its meaning and what to do, and no other', () => {
    assert.deepEqual(firstCells(states), Object.keys(STRAP_STATES));
    assert.deepEqual([...DEVICE_STATES].sort(), Object.keys(STRAP_STATES).sort());
    for (const { meaning, advice } of Object.values(STRAP_STATES)) {
      assert.ok(meaning.length > 5 && advice.length > 5, meaning);
      assert.ok(document.includes(`| ${meaning} | ${advice} |`), meaning);
    }
  });

  test('docs/sensors.md has every reason for the end of a link: the names of all HCI codes, and our own', () => {
    const named = [...Object.values(HCI_REASONS), ...OUR_ENDS, disconnectReason(undefined)];
    const documented = firstCells(ends.split('## ')[0] ?? '').filter((name) => Object.hasOwn(LINK_ENDS, name));
    assert.deepEqual([...new Set(documented)].sort(), [...new Set(named)].sort());
    assert.deepEqual(Object.keys(LINK_ENDS).sort(), [...new Set(named)].sort());
  });

  test('every HCI code of the specification has a name, and the document has it beside that name', () => {
    // 0x2b, 0x31 and 0x33 are reserved (Core, volume 1 part F, 1.3).
    const reserved = new Set([0x2b, 0x31, 0x33]);
    for (let code = 0x01; code <= 0x45; code += 1) {
      if (reserved.has(code)) continue;
      const name = disconnectReason(code);
      assert.doesNotMatch(name, /^0x/, `0x${code.toString(16)}`);
      assert.ok(LINK_ENDS[name]?.codes.includes(code), `${name} has 0x${code.toString(16)}`);
    }
    assert.equal(disconnectReason(0x3b), 'unacceptable_parameters');
    assert.equal(disconnectReason(0x31), '0x31');
    for (const [name, { codes }] of Object.entries(LINK_ENDS)) for (const code of codes) assert.equal(HCI_REASONS[code], name);
  });

  test('the page has the same states and reasons', async () => {
    assert.deepEqual(Object.keys(STATES), Object.keys(STRAP_STATES));
    assert.deepEqual(Object.keys(REASON_HINTS).sort(), [...REASON_CODES].sort());
    const file = 'admin-api/page/strap-states.js';
    assert.equal(await format(strapStatesModule(), { ...(await resolveConfig(file)), filepath: file }), readSource(file));
  });

  test('the doctor says of every state what it means and what to do, and of a reason instead, if there is one', () => {
    for (const state of DEVICE_STATES) {
      const [line] = strapLines([deviceStatus('anna', { state, source: 'noble' })]);
      const { meaning, advice, kind } = STRAP_STATES[state];
      assert.ok(line !== undefined && line.found.includes(meaning), state);
      assert.equal(line.status, kind === 'good' ? 'ok' : 'warn', state);
      assert.equal(line.advice, kind === 'good' ? '' : advice);
    }
    for (const code of REASON_CODES) {
      const { meaning, advice } = explain('refused', { code, detail: 'because' });
      assert.deepEqual([meaning, advice], ['because', STRAP_REASONS[code].hint]);
    }
    assert.deepEqual(strapLines([deviceStatus('anna', { state: 'lost', source: 'simulated' })]), []);
  });
});
