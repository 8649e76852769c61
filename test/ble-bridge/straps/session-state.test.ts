import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { LadderState } from '../../../ble-bridge/radio/ladder-state.ts';
import type { Radio, RadioEvents, RadioState } from '../../../ble-bridge/radio/radio.ts';
import { SoftRadio } from '../../../ble-bridge/radio/virtual/soft-radio.ts';
import { SessionState } from '../../../ble-bridge/straps/session-state.ts';
import { eventually } from '../../support/eventually.ts';
import { quietSource, startSoftSession } from '../support/soft-session.ts';

test('a session cannot turn on again after its power was lost without a rebuild, and nothing leaves stopped', () => {
  const state = new SessionState();
  state.enter('on');
  state.enter('lost');
  assert.throws(() => state.enter('on'), /illegal transition lost -> on/);
  state.enter('rebuilding');
  assert.throws(() => state.enter('rebuilding'), /illegal transition rebuilding -> rebuilding/);
  state.enter('on');
  state.enter('stopped');
  for (const next of ['off', 'on', 'lost', 'rebuilding', 'stuck'] as const)
    assert.throws(() => state.enter(next), /illegal transition stopped/);
});

test('the ladder restarts the scan before it gives up, and never leaves that state', () => {
  const state = new LadderState();
  assert.throws(() => state.enter('scan_restarted'), /illegal transition working -> scan_restarted/);
  state.enter('troubled');
  assert.throws(() => state.enter('gave_up'), /illegal transition troubled -> gave_up/);
  const { since } = state;
  state.enter('scan_restarted');
  assert.equal(state.since, since);
  state.enter('gave_up');
  assert.throws(() => state.enter('working'), /illegal transition gave_up -> working/);
});

/** A soft radio whose adapter can be pulled and plugged in, and which counts its rebuilds and scans. */
class PluggedRadio extends SoftRadio implements Radio {
  override readonly events = new EventEmitter<RadioEvents>();
  power: RadioState | undefined;
  rebuilds = 0;
  scans = 0;
  #finish: () => void = () => {};

  override get state(): RadioState {
    return this.power ?? super.state;
  }

  set(power: RadioState | undefined): void {
    this.power = power;
    this.events.emit('state');
  }

  override async scan(): Promise<void> {
    this.scans += 1;
    await super.scan();
  }

  override async rebuild(): Promise<void> {
    this.rebuilds += 1;
    await super.rebuild();
    await new Promise<void>((resolve) => (this.#finish = resolve));
  }

  finishRebuild(): void {
    this.#finish();
  }
}

test('an adapter that returns is rebuilt once before the scan starts; state changes during the rebuild do nothing', async (t) => {
  const source = quietSource('Plugged');
  const radio = new PluggedRadio(source);
  const { strap } = await startSoftSession(t, source, { radio });
  await eventually(() => strap()?.link.state === 'subscribing');
  radio.set('missing');
  assert.equal(strap()?.link.state, 'lost');
  assert.equal(radio.rebuilds, 0);
  const { scans } = radio;
  radio.set(undefined);
  assert.equal(radio.rebuilds, 1);
  radio.set('powered_off');
  radio.set(undefined);
  assert.deepEqual([radio.rebuilds, radio.scans], [1, scans]);
  radio.finishRebuild();
  await eventually(() => strap()?.link.state === 'subscribing', { what: 'the strap after the rebuild' });
  assert.equal(radio.rebuilds, 1);
  await eventually(() => radio.scans > scans, { what: 'a scan after the rebuild' });
});

test('a rebuild that ends without power waits for it, and needs no further rebuild', async (t) => {
  const source = quietSource('Plugged');
  const radio = new PluggedRadio(source);
  const { strap } = await startSoftSession(t, source, { radio });
  await eventually(() => strap()?.link.state === 'subscribing');
  radio.set('missing');
  radio.set(undefined);
  radio.set('starting');
  radio.finishRebuild();
  await new Promise((resolve) => setImmediate(resolve));
  radio.set(undefined);
  await eventually(() => strap()?.link.state === 'subscribing', { what: 'the strap after the adapter answered' });
  assert.equal(radio.rebuilds, 1);
});

test('a session that was stopped during a rebuild does not scan again', async (t) => {
  const source = quietSource('Plugged');
  const radio = new PluggedRadio(source);
  const { session, strap } = await startSoftSession(t, source, { radio });
  await eventually(() => strap()?.link.state === 'subscribing');
  radio.set('missing');
  radio.set(undefined);
  const { scans } = radio;
  await session.stop();
  radio.finishRebuild();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(radio.scans, scans);
});
