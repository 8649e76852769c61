/**
 * Fuzzes the product's ATT and GATT client: conversations with a peripheral whose answers are mutated. A conversation is reproduced by its
 * seed, which every failure names.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { RadioError } from '../../../ble-bridge/radio/radio-error.ts';
import type { RadioCharacteristic } from '../../../ble-bridge/radio/radio.ts';
import { seeded } from '../../support/seeded.ts';
import { below, creeping, isAnswer, mutated, randomBytes, type Random } from './gatt-mutations.ts';
import { GattTable, STRAP_SERVICES } from './gatt-table.ts';
import { ATT_CHANNEL, SMP_CHANNEL, startScriptedLink, type ScriptedLink } from './scripted-link.ts';

/** Beyond this many PDUs the peripheral falls silent, as at the time limit of a real link. */
const PDUS_MAX = 300;
const REQUESTS: ReadonlySet<number> = new Set([0x04, 0x08, 0x0a, 0x0c, 0x10, 0x12]);
const REQUEST_LENGTHS: Readonly<Record<number, number>> = { 0x04: 5, 0x08: 7, 0x0a: 3, 0x0c: 5, 0x10: 7, 0x12: 5 };
/** In one conversation of four. Reads are continued by a request of their own. */
const ENDLESS: readonly (readonly number[])[] = [[0x04], [0x08], [0x0a, 0x0c], [0x10]];
const DISCOVERIES: ReadonlySet<number> = new Set([0x04, 0x08, 0x10]);
const ERROR_CODES: ReadonlySet<string> = new Set(['refused', 'pairing_failed', 'bad_answer', 'link_ended']);
const TABLE = new GattTable(STRAP_SERVICES);
const UUID = /^([0-9a-f]{4}|[0-9a-f]{32})$/;

class Conversation {
  readonly #transcript: { by: '>' | '<'; pdu: Buffer }[] = [];
  readonly outcomes: string[] = [];
  pdus = 0;
  readonly #random: Random;
  readonly #link: ScriptedLink;
  readonly #answers: Buffer[] = [];
  /** How often an answer is mutated. */
  readonly #rate: number;
  /** Requests that it answers as if there were always more. */
  readonly #endless: readonly number[];
  /** The client waits for an answer; the MTU request was sent by noble. */
  #outstanding = true;
  #pairing = false;
  #silent = false;
  #ended = false;
  /** The client has done all it does. */
  #done = false;
  #confirmations = 0;
  #values: Buffer[] = [];
  #lastDiscovery: Buffer | undefined;
  #writes = 0;
  #broken: unknown;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.#endless = ENDLESS[below(this.#random, 4 * ENDLESS.length)] ?? [];
    this.#rate = [0.05, 0.2, 0.6][below(this.#random, 3)] ?? 1;
    this.#link = startScriptedLink({
      onWrite: (data, channel) => this.#written(data, channel),
      onEncrypt: () => this.#encrypt(),
    });
  }

  /** Its last PDUs, as text: > from the client, < from the peripheral. */
  end(): string {
    return this.#transcript
      .slice(-12)
      .map(({ by, pdu }) => `${by} ${pdu.toString('hex')}`)
      .join('\n');
  }

  /** Runs it to its end, and throws at the first broken law. */
  async run(): Promise<void> {
    this.#answer(Buffer.of(0x02, 0x00, 0x01));
    const client = this.#client().finally(() => (this.#done = true));
    for (let before = -1; ;) {
      await turn();
      if (this.#done) break;
      // An exchange is over within a turn of the event loop, unless the peripheral owes an answer.
      assert.ok(this.#silent || this.#pairing || before !== this.#writes, 'the client neither asks on nor finishes');
      if (this.#silent || this.#pairing) {
        this.#ended = true;
        this.#link.endLink();
        await turn();
        assert.ok(this.#done, 'a request is still open after the end of the link');
      }
      before = this.#writes;
    }
    await client;
    if (this.#broken !== undefined) throw this.#broken;
    if (!this.#ended) this.#link.endLink();
    assert.equal(this.#link.ends.length, 1, 'the link ends once');
    assert.deepEqual(this.#link.peripheral.eventNames(), [], 'no listener is left on the peripheral');
  }

  /** Does what a sensor link does, and goes on after errors in order to reach more. */
  async #client(): Promise<void> {
    const { connection } = this.#link;
    const found: RadioCharacteristic[] = [];
    for (let tries = 0; tries < 3 && found.length === 0; tries += 1)
      found.push(...((await this.#step(async () => await connection.discover())) ?? []));
    for (const { uuid } of found) assert.match(uuid, UUID);
    const measurement = found.find(({ uuid, notifies }) => uuid === '2a37' && notifies);
    const name = await this.#step(async () => await connection.readName());
    assert.ok(name === undefined || (name !== '' && name.length <= 128), 'a name is bounded');
    if (measurement !== undefined) await this.#step(async () => await measurement.subscribe((value) => this.#values.push(value)));
    const optional = (await this.#step(async () => await connection.discoverOptional())) ?? [];
    for (const characteristic of [...found, ...optional].filter(({ readable }) => readable)) {
      const value = await this.#step(async () => await characteristic.read());
      assert.ok((value?.length ?? 0) <= 600, 'a value is bounded');
    }
    const control = found.find(({ uuid }) => uuid === '2a39');
    if (control !== undefined) await this.#step(async () => await control.write(Buffer.of(1, 0)));
  }

  async #step<T>(run: () => Promise<T>): Promise<T | undefined> {
    this.#lastDiscovery = undefined;
    try {
      const result = await run();
      this.outcomes.push('done');
      return result;
    } catch (error) {
      assert.ok(error instanceof RadioError && ERROR_CODES.has(error.code), `an error of the radio seam, not ${String(error)}`);
      this.outcomes.push(error.code);
      return undefined;
    }
  }

  #written(data: Buffer, channel: number): void {
    if (channel === SMP_CHANNEL) return;
    this.#transcript.push({ by: '>', pdu: data });
    this.#writes += 1;
    assert.equal(channel, ATT_CHANNEL, 'the client writes on its own channel');
    assert.ok(!this.#ended, 'nothing is sent after the end of the link');
    const opcode = data[0] ?? 0;
    if (opcode === 0x1e) this.#confirmations += 1;
    if (opcode === 0x1e || opcode === 0x01 || opcode === 0x03) return;
    // After pairing the MTU request is sent again as well.
    if (opcode !== 0x02) this.#checkRequest(opcode, data);
    assert.ok(!this.#outstanding, 'one request at a time');
    this.#outstanding = true;
    this.#answer(data);
  }

  #checkRequest(opcode: number, data: Buffer): void {
    assert.ok(REQUESTS.has(opcode), `the client sends opcode ${opcode}`);
    assert.equal(data.length, REQUEST_LENGTHS[opcode], 'the length of a request');
    if (opcode === 0x0c) assert.ok(data.readUInt16LE(3) < 512, 'a value is not asked for beyond its longest length');
    if (!DISCOVERIES.has(opcode)) return;
    const [start, end] = [data.readUInt16LE(1), data.readUInt16LE(3)];
    assert.ok(start >= 1 && start <= end, 'a range of handles');
    const last = this.#lastDiscovery;
    const sameList = last !== undefined && last[0] === opcode && last.subarray(3).equals(data.subarray(3));
    if (sameList && !last.equals(data)) assert.ok(start > last.readUInt16LE(1), 'a discovery ascends');
    this.#lastDiscovery = data;
  }

  /** What the peripheral sends after a request. */
  #answer(request: Buffer): void {
    const correct = TABLE.answer(request);
    const mutates = this.#random() < this.#rate;
    let pdus = mutates ? mutated(correct, request, this.#random, this.#answers) : [correct];
    if (this.#endless.includes(request[0] ?? 0)) pdus = [creeping(request, this.#random)];
    this.#answers.push(correct);
    if (this.pdus > PDUS_MAX || !pdus.some(isAnswer)) this.#silent = true;
    queueMicrotask(() => {
      try {
        for (const pdu of this.pdus > PDUS_MAX ? [] : pdus) this.#deliver(pdu);
      } catch (error) {
        // Thrown from here it would end the process, and the seed would not be known.
        this.#broken ??= error;
        this.#silent = true;
      }
    });
  }

  #deliver(pdu: Buffer): void {
    if (this.#ended) return;
    this.#transcript.push({ by: '<', pdu });
    this.pdus += 1;
    const confirmed = this.#confirmations;
    this.#values = [];
    if (isAnswer(pdu)) this.#outstanding = false;
    this.#link.deliver(pdu);
    assert.equal(this.#confirmations - confirmed, pdu[0] === 0x1d ? 1 : 0, 'an indication is confirmed once, and at once');
    if (this.#values.length > 0) assert.deepEqual(this.#values, [pdu.subarray(3)], 'a value is passed on once, as it was sent');
    if (this.#random() < 0.02) this.#link.deliver(randomBytes(this.#random, 8), SMP_CHANNEL);
  }

  #encrypt(): void {
    this.#pairing = true;
    // Encrypted, not encrypted, pairing failed, or no answer at all.
    const kind = below(this.#random, 4);
    if (kind === 3) return;
    const result = kind === 2 ? undefined : kind;
    queueMicrotask(() => {
      this.#pairing = false;
      this.#outstanding = false;
      if (!this.#ended) this.#link.encrypted(result);
    });
  }
}

export interface FuzzedAnswers {
  conversations: number;
  pdus: number;
  /** Ends of requests by kind. */
  outcomes: Record<string, number>;
}

/** Plays conversations until the peripheral has sent `pdus` PDUs. `onTenth` is called ten times on the way. */
export async function fuzzAnswers(options: { pdus: number; seed: number; onTenth?: () => void }): Promise<FuzzedAnswers> {
  const result: FuzzedAnswers = { conversations: 0, pdus: 0, outcomes: {} };
  for (let tenths = 1; result.pdus < options.pdus;) {
    const seed = options.seed + result.conversations;
    const conversation = new Conversation(seed);
    await conversation.run().catch((error: unknown) => {
      throw new Error(`conversation ${seed}:\n${conversation.end()}`, { cause: error });
    });
    result.conversations += 1;
    result.pdus += conversation.pdus;
    for (const outcome of conversation.outcomes) result.outcomes[outcome] = (result.outcomes[outcome] ?? 0) + 1;
    if (result.pdus < (tenths * options.pdus) / 10) continue;
    tenths += 1;
    options.onTenth?.();
  }
  return result;
}
