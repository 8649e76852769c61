import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeResend, encodeResend, type NumberedPayload } from '../../contract/outbox-protocol.ts';
import { OutboxRun } from '../../ble-bridge/outbox/outbox-run.ts';
import { RunIntake } from '../../forwarder/intake/run-intake.ts';
import type { RunMark } from '../../forwarder/queue/queue-messages.ts';

/**
 * Both ends' own logic over a simulated link: packets are dropped with their connection (as TCP does), marks may be lost, the forwarder is
 * killed before a commit, or its queue is replaced by an older copy.
 */
const WINDOW = 40;
const RUN = '0123456789abcdef';
type Act = 'read' | 'readMany' | 'cut' | 'killForwarder' | 'commit' | 'loseMarks' | 'replaceQueue' | 'wait';

class World {
  nowMs = 0;
  readonly bridge = new OutboxRun({ run: RUN, window: WINDOW, recovered: false, random: () => 0.5 });
  #committed: RunMark | undefined;
  #intake = new RunIntake(RUN, WINDOW);
  #pending: { seqs: number[]; mark: RunMark }[] = [];
  readonly stored = new Set<number>();
  readonly storedBefore = new Set<number>();
  taken = 0;
  sent = 0;
  up = true;
  furthestAhead = 0;
  #marksLost = false;

  #offer(entries: readonly NumberedPayload[]): void {
    for (const { seq, payload } of entries) {
      this.sent += 1;
      const taken = this.#intake.offer(seq, payload);
      if (taken !== undefined) this.#pending.push({ seqs: taken.payloads.map((entry) => entry.seq), mark: taken.mark });
    }
  }

  read(): void {
    const seq = this.bridge.nextSeq();
    this.taken += 1;
    this.bridge.hold({ seq, payload: `{"seq":${seq}}` }, this.nowMs);
    if (!this.up) return;
    this.bridge.sentLive(seq);
    this.#offer([{ seq, payload: `{"seq":${seq}}` }]);
  }

  commit(): void {
    for (const { seqs, mark } of this.#pending) {
      for (const seq of seqs) {
        assert.ok(!this.stored.has(seq), `${seq} stored twice in one queue`);
        this.stored.add(seq);
      }
      this.#committed = mark;
      this.#intake.committed(mark.stored);
    }
    const moved = this.#pending.length > 0;
    this.#pending = [];
    if (moved && this.up && !this.#marksLost && this.#committed !== undefined) this.bridge.heard({ stored: this.#committed.stored }, this.nowMs);
    this.#marksLost = false;
  }

  connect(): void {
    this.up = true;
    this.bridge.askedForSource();
  }

  act(act: Act): void {
    if (act === 'read') this.read();
    if (act === 'readMany') for (let i = 0; i < 30; i += 1) this.read();
    if (act === 'commit') this.commit();
    if (act === 'loseMarks') this.#marksLost = true;
    if (act === 'wait') this.nowMs += 3000;
    if (act === 'cut') {
      this.up = false;
      this.bridge.lineDown();
    }
    if (act === 'killForwarder' || act === 'replaceQueue') {
      if (act === 'replaceQueue') {
        for (const seq of this.stored) this.storedBefore.add(seq);
        this.stored.clear();
        this.#committed = undefined;
      }
      this.#pending = [];
      this.#intake = new RunIntake(RUN, WINDOW, this.#committed);
      if (this.up) this.bridge.askedForSource();
    }
    this.pump();
  }

  pump(): void {
    this.nowMs += 250;
    if (!this.up) return;
    const source = this.bridge.dueSource(this.nowMs);
    if (source !== undefined) {
      const taken = this.#intake.source(source);
      if (taken !== undefined) this.#pending.push({ seqs: taken.payloads.map(({ seq }) => seq), mark: taken.mark });
      this.bridge.heard({ stored: this.#intake.stored, next: this.#intake.next, sync: source.sync }, this.nowMs);
    }
    for (let packet = this.bridge.nextResend(); packet !== undefined; packet = this.bridge.nextResend()) {
      this.furthestAhead = Math.max(this.furthestAhead, (packet.at(-1)?.seq ?? 0) - this.bridge.stored);
      this.#offer(decodeResend(encodeResend(packet)));
    }
  }

  /** Everything works again: how many rounds until nothing is held. */
  settle(): number {
    if (!this.up) this.connect();
    for (let round = 1; round < 400; round += 1) {
      this.pump();
      this.commit();
      if (!this.bridge.holdsAnything) return round;
    }
    return -1;
  }

  get missed(): number {
    return Object.values(this.#committed?.missed ?? {}).reduce((sum, count) => sum + count, 0);
  }
}

const acts = fc.array(fc.constantFrom<Act>('read', 'readMany', 'cut', 'killForwarder', 'commit', 'loseMarks', 'replaceQueue', 'wait'), { maxLength: 60 });

test('whatever the link and the kills do: nothing is lost, nothing stalls, the window is kept', () => {
  fc.assert(
    fc.property(acts, (list) => {
      const world = new World();
      world.connect();
      for (const act of list) {
        if (act !== 'cut' && !world.up && Math.abs(list.length) % 2 === 0) world.connect();
        world.act(act);
      }
      assert.notEqual(world.settle(), -1, 'it comes to an end');
      for (let seq = 1; seq <= world.taken; seq += 1) assert.ok(world.stored.has(seq) || world.storedBefore.has(seq), `${seq} of ${world.taken} is lost`);
      assert.ok(world.furthestAhead <= WINDOW, `${world.furthestAhead} ahead`);
      if (!list.includes('replaceQueue')) assert.equal(world.missed, 0);
    }),
    { numRuns: 1500 },
  );
});

test('where nothing goes wrong each reading is sent once', () => {
  const world = new World();
  world.connect();
  for (let i = 0; i < 500; i += 1) {
    world.act('read');
    world.act('commit');
  }
  assert.notEqual(world.settle(), -1);
  assert.equal(world.sent, 500);
});

test('a forwarder that is away for long and returns is not stormed: sent ÷ needed is bounded', () => {
  const world = new World();
  world.connect();
  world.act('cut');
  for (let i = 0; i < 2000; i += 1) world.act('read');
  const before = world.sent;
  assert.notEqual(world.settle(), -1);
  assert.equal(world.stored.size, 2000);
  assert.ok((world.sent - before) / 2000 <= 1.1, String((world.sent - before) / 2000));
});

test('a forwarder that answers and commits nothing is asked ever more seldom, and sent nothing but a window', () => {
  const bridge = new OutboxRun({ run: RUN, window: WINDOW, recovered: false, random: () => 0.5 });
  for (let seq = 1; seq <= 500; seq += 1) bridge.hold({ seq: bridge.nextSeq(), payload: '{}' }, 0);
  bridge.askedForSource();
  let sources = 0;
  let sent = 0;
  for (let nowMs = 300; nowMs < 300_000; nowMs += 100) {
    const source = bridge.dueSource(nowMs);
    if (source === undefined) continue;
    sources += 1;
    bridge.heard({ stored: 0, next: 1, sync: source.sync }, nowMs);
    for (let packet = bridge.nextResend(); packet !== undefined; packet = bridge.nextResend()) sent += packet.length;
  }
  assert.ok(sources < 20, String(sources));
  assert.ok(sent <= sources * WINDOW, String(sent));
});

test('a mark above what was given out is ignored, and only the answer to the current source starts a resend, once', () => {
  const bridge = new OutboxRun({ run: RUN, window: WINDOW, recovered: false });
  for (let i = 0; i < 3; i += 1) bridge.hold({ seq: bridge.nextSeq(), payload: '{}' }, 0);
  bridge.heard({ stored: 99 }, 1);
  assert.equal(bridge.held.length, 3);
  bridge.askedForSource();
  const source = bridge.dueSource(1000);
  assert.equal(source?.from, 1);
  bridge.heard({ stored: 0, next: 1, sync: (source?.sync ?? 0) - 1 }, 1001);
  assert.equal(bridge.nextResend(), undefined);
  bridge.heard({ stored: 0, next: 1, sync: source?.sync }, 1002);
  assert.deepEqual(bridge.nextResend()?.map(({ seq }) => seq), [1, 2, 3]);
  bridge.heard({ stored: 0, next: 1, sync: source?.sync }, 1003);
  assert.equal(bridge.nextResend(), undefined);
});

test('what the bridge dropped is booked by its cause, what an earlier queue held as that', () => {
  const intake = new RunIntake(RUN, WINDOW);
  const taken = intake.source({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 1 });
  assert.deepEqual(taken?.mark, { run: RUN, stored: 10, missed: { outbox_full: 4, earlier_queue: 6 } });
  assert.equal(intake.source({ run: RUN, from: 11, last: 20, dropped: { outbox_full: 4 }, sync: 2 }), undefined);
  assert.equal(intake.next, 11);
});
