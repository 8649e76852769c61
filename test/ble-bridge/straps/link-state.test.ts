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

  test('a refusal stays shown, with its reason, while the strap is tried again, until the attempt shows something else', () => {
    const shown: string[] = [];
    const state = new LinkState(
      'c0:00:00:00:00:01',
      () => {},
      () => shown.push(state.shown.state),
    );
    const reason = { code: 'att_error', detail: '0x03' } as const;
    const attempt = (end: () => void): void => {
      state.enter('connecting', ATTEMPT);
      state.enter('connected', CONNECTION);
      state.enter('subscribing', CONNECTION);
      end();
    };
    const refuse = (): void => state.enter('refused', CONNECTION, { reason });
    attempt(refuse);
    assert.deepEqual(shown.splice(0), ['connecting', 'connected', 'subscribing', 'refused']);
    attempt(refuse);
    assert.deepEqual(state.shown, { state: 'refused', reason });
    // An attempt that gave way to another strap has shown nothing.
    state.enter('connecting', ATTEMPT);
    state.enter('lost', NOTHING, { nothingLearned: true });
    assert.deepEqual([state.current, state.shown], ['lost', { state: 'refused', reason }]);
    assert.deepEqual(shown, []);
    attempt(() => state.accepted());
    assert.deepEqual([shown.splice(0), state.shown], [['subscribing'], { state: 'subscribing', reason: null }]);
    state.enter('streaming', CONNECTION);
    state.enter('lost', NOTHING);
    attempt(refuse);
    shown.splice(0);
    state.enter('connecting', ATTEMPT);
    state.enter('lost', NOTHING);
    assert.deepEqual([shown, state.shown], [['lost'], { state: 'lost', reason: null }], 'it was not reached: that is what holds');
  });
});
