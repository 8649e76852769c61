import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LinkState, type LinkHoldings } from '../../../ble-bridge/straps/link-state.ts';

const NOTHING: LinkHoldings = { attempt: false, connection: false };
const ATTEMPT: LinkHoldings = { attempt: true, connection: false };
const CONNECTION: LinkHoldings = { attempt: true, connection: true };

function makeState(): { state: LinkState; changes: string[] } {
  const changes: string[] = [];
  return { state: new LinkState('c0:00:00:00:00:01', (to, from) => changes.push(`${from} -> ${to}`)), changes };
}

describe('the state of a link', () => {
  test('an illegal transition throws and changes nothing', () => {
    const { state, changes } = makeState();
    assert.throws(() => state.enter('streaming', CONNECTION), /illegal transition discovered -> streaming/);
    state.enter('connecting', ATTEMPT);
    state.enter('lost', NOTHING);
    assert.throws(() => state.enter('silent', CONNECTION), /illegal transition lost -> silent/);
    assert.deepEqual(changes, ['discovered -> connecting', 'connecting -> lost']);
  });

  test('a state cannot be entered without the attempt and connection that it requires, or with more', () => {
    const { state } = makeState();
    assert.throws(() => state.enter('connecting', NOTHING), /entering connecting with no attempt and no connection/);
    state.enter('connecting', ATTEMPT);
    assert.throws(() => state.enter('connected', ATTEMPT), /entering connected with an attempt and no connection/);
    state.enter('connected', CONNECTION);
    assert.throws(() => state.enter('lost', CONNECTION), /entering lost with an attempt and a connection/);
    assert.equal(state.current, 'connected');
  });

  test('no_heart_rate_service outlasts the link, and a connect may start from it', () => {
    const { state } = makeState();
    state.enter('connecting', ATTEMPT);
    state.enter('connected', CONNECTION);
    state.enter('no_heart_rate_service', CONNECTION);
    assert.equal(state.idle, true);
    state.enter('connecting', ATTEMPT);
  });

  test('entering the current state again is not reported', () => {
    const { state, changes } = makeState();
    state.enter('discovered', NOTHING);
    assert.deepEqual(changes, []);
  });
});
