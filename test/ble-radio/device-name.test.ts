/** The name that a strap has itself (0x2A00), without a controller. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeError } from '../../ble-bridge/radio/att/att-protocol.ts';
import { RadioError } from '../../ble-bridge/radio/radio-error.ts';
import { GattTable } from './support/gatt-table.ts';
import { ATT_CHANNEL, startScriptedLink, type ScriptedLink } from './support/scripted-link.ts';

interface Named extends ScriptedLink {
  /** Opcodes of the client's requests. */
  requests: number[];
  encrypts: number;
}

const tableOf = (name: Buffer): GattTable =>
  new GattTable([{ uuid: '1800', characteristics: [{ uuid: '2a00', properties: 0x02, value: name }] }]);

/** A link to a peripheral with this name; `answer` replaces the table's answers if it returns one. */
function startNamed(name: string | Buffer, answer: (request: Buffer) => Buffer | undefined = () => undefined): Named {
  const table = tableOf(Buffer.from(name));
  const link = startScriptedLink({
    onWrite: (data, channel) => {
      if (channel !== ATT_CHANNEL) return;
      strap.requests.push(data.readUInt8(0));
      queueMicrotask(() => strap.deliver(answer(data) ?? table.answer(data)));
    },
    onEncrypt: () => (strap.encrypts += 1),
  });
  const strap: Named = { ...link, requests: [], encrypts: 0 };
  strap.deliver(Buffer.of(0x03, 0x17, 0x00));
  return strap;
}

async function rejection(run: () => Promise<unknown>): Promise<RadioError> {
  const error = await run().then(
    (value) => assert.fail(`it should be rejected, not ${String(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RadioError, `a RadioError, not ${String(error)}`);
  return error;
}

describe('the name of a strap', () => {
  test('one request reads it, without discovery', async () => {
    const strap = startNamed('Polar H10');
    assert.equal(await strap.connection.readName(), 'Polar H10');
    assert.deepEqual(strap.requests, [0x08]);
  });

  for (const length of [18, 19, 20, 41, 42, 64])
    test(`a name of ${length} bytes is read whole, although an answer holds 19 of them`, async () => {
      const name = 'abcdefg'.repeat(10).slice(0, length);
      assert.equal(await startNamed(name).connection.readName(), name);
    });

  for (const [bytes, name] of [
    ['TICKR\0', 'TICKR'],
    ['TICKR\0\xff garbage', 'TICKR'],
    ['\0', undefined],
    ['', undefined],
    [' \u0007 ', undefined],
    ['Pulsgürtel 心拍', 'Pulsgürtel 心拍'],
  ] as const)
    test(`${JSON.stringify(bytes)} is ${String(name)}`, async () => {
      assert.equal(await startNamed(bytes).connection.readName(), name);
    });

  test('a peripheral without one has none', async () => {
    const strap = startNamed('', (request) => encodeError(request.readUInt8(0), 1, 0x0a));
    assert.equal(await strap.connection.readName(), undefined);
  });

  for (const code of [0x02, 0x05, 0x0f])
    test(`a refusal with 0x0${code.toString(16)} is one, and no reason to pair`, async () => {
      const strap = startNamed('', (request) => encodeError(request.readUInt8(0), 1, code));
      const error = await rejection(async () => await strap.connection.readName());
      assert.deepEqual([error.code, error.attError, strap.encrypts], ['refused', code, 0]);
    });

  test('a refusal of the rest leaves the beginning', async () => {
    const strap = startNamed('abcdefg'.repeat(5), (request) =>
      request[0] === 0x0c ? encodeError(0x0c, request.readUInt16LE(1), 0x0b) : undefined,
    );
    assert.equal(await strap.connection.readName(), 'abcdefg'.repeat(5).slice(0, 19));
  });

  for (const hex of ['09', '0900', '0901000000', '0906010041', '0907010041'])
    test(`the answer ${hex} is bad_answer, and the next request is answered`, async () => {
      let answers = 0;
      const strap = startNamed('Whole', () => ((answers += 1) === 1 ? Buffer.from(hex, 'hex') : undefined));
      assert.equal((await rejection(async () => await strap.connection.readName())).code, 'bad_answer');
      assert.equal(await strap.connection.readName(), 'Whole');
    });

  test('the end of the link settles it', async () => {
    const strap = startNamed('Whole', () => Buffer.alloc(0));
    const reading = rejection(async () => await strap.connection.readName());
    strap.endLink();
    assert.equal((await reading).code, 'link_ended');
  });
});
