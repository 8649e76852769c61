import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StrapChanges } from '../../../ble-bridge/straps/strap-changes.ts';

const STRAP = { address: '00:11:22:33:44:55', device: 'enemy-334455' };
const OTHER = { address: '00:11:22:33:44:66', device: 'calm-334466' };

test('a strap that offers other services at each connection is named; one whose firmware was updated is not', () => {
  const changes = new StrapChanges();
  for (const [index, services] of ['2a37', '2a37', '2a37, 2a39'].entries())
    changes.servicesFound(OTHER, services, 61_000 * index);
  changes.servicesFound(STRAP, '2a37', 200_000);
  assert.equal(changes.check(200_000).status, 'ok');
  changes.servicesFound(STRAP, '', 205_000);
  const { code, reason } = changes.check(205_000);
  assert.equal(code, 'strap_changes');
  assert.match(reason, /^enemy-334455 \(00:11:22:33:44:55\) offers other services/);
  assert.equal(changes.check(265_001).status, 'ok');
});
