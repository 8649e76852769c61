/** Fuzzes links over the virtual radio: what straps answer is mutated between the controller and noble. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../../support/seeded.ts';
import { Air, tapController, withPdu } from './air.ts';
import { below, isAnswer, mutated, randomBytes } from './gatt-mutations.ts';
import { startBench } from './radio-bench.ts';
import { startVirtualRadio, strapAddress } from './virtual-radio.ts';

const FUZZED = [1, 2, 3, 4, 5, 6];
const UNTOUCHED = [7, 8];
const WRITE_ANSWER = 0x13;
/** How often a packet is mutated: of answers to writes, and of others, which have to let most attempts come that far. */
const rateOf = (pdu: Buffer): number => (pdu[0] === WRITE_ANSWER ? 0.5 : 0.05);
const HEADER_BYTES = 9;

/** Mutates packets of six straps for so long; two others must not notice. */
export async function fuzzLinks(t: Pick<TestContext, 'after' | 'diagnostic'>, fuzzedMs: number): Promise<{ mutated: number }> {
  const random = seeded(20_261_130);
  const radio = await startVirtualRadio(t);
  for (const id of [...FUZZED, ...UNTOUCHED]) await radio.add(id, { name: `HR${id}`, bpm: 100 + id, period: 0.2 });
  const bench = await startBench(t, radio, {
    limits: { discoverMs: 800, subscribeMs: 800, requestMs: 400, backoffMinMs: 10, backoffMaxMs: 50 },
  });
  await Promise.all(UNTOUCHED.map(async (id) => await bench.flows(id)));
  const fuzzed = new Set(FUZZED.map(strapAddress));
  const air = new Air();
  let on = true;
  let count = 0;
  let answers = 0;
  // The links of the other straps were established before: they have no address here, and are left alone.
  tapController(t, (packet) => {
    const att = air.read(packet);
    if (att !== undefined && att.pdu[0] !== 0x1b) answers += 1;
    if (!on || att?.address === undefined || !fuzzed.has(att.address) || random() > rateOf(att.pdu)) return undefined;
    count += 1;
    // Cut packets, wrong lengths, channels that do not exist.
    if (random() < 0.02) return [packet.subarray(0, 1 + below(random, packet.length))];
    if (random() < 0.02) return [Buffer.concat([packet.subarray(0, HEADER_BYTES), randomBytes(random, 30)])];
    const pdus = mutated(att.pdu, Buffer.of((att.pdu[0] ?? 1) - 1, 1, 0), random, [att.pdu]);
    // A write that is not answered at all keeps its link from further requests: most are answered, whatever with.
    return att.pdu[0] === WRITE_ANSWER && !pdus.some(isAnswer) ? undefined : pdus.map((pdu) => withPdu(packet, pdu));
  });
  for (const id of FUZZED) await radio.op('terminate', { id });
  const since = performance.now();
  const end = since + fuzzedMs;
  await Promise.all(
    FUZZED.map(async (id) => {
      // Requests as fast as they are answered; a link that bears them for three seconds is ended, so that discovery is reached as well.
      for (let endAt = performance.now() + 3000; performance.now() < end;) {
        const written = await bench
          .strap(id)
          ?.link.writeControlPoint(Buffer.of(0x01))
          .catch(() => 'failed');
        if (written !== 'done') await sleep(10);
        if (performance.now() < endAt) continue;
        endAt += 3000;
        await radio.op('terminate', { id });
      }
    }),
  );
  on = false;
  t.diagnostic(
    `${count} packets mutated among ${answers} answers, ${bench.statistics.disconnects['bad_answer'] ?? 0} attempts ended by a bad answer`,
  );
  for (const id of UNTOUCHED) {
    assert.equal(bench.strap(id)?.status().reconnects, 0, 'the link of another strap stays');
    assert.ok(bench.longestPauseMs(id, since) < 5000, 'another strap streams on');
    assert.ok(
      bench.readingsOf(id).every(({ heart_rate }) => heart_rate === 100 + id),
      'a strap has its own readings',
    );
  }
  await Promise.all(FUZZED.map(async (id) => await bench.flows(id)));
  await bench.settled();
  return { mutated: count };
}
