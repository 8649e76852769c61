/** Corrections of noble's GATT client, without a controller: what the product does with each kind of answer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { encodeError } from '../../ble-bridge/radio/att/att-protocol.ts';
import { RadioError } from '../../ble-bridge/radio/radio-error.ts';
import type { RadioCharacteristic } from '../../ble-bridge/radio/radio.ts';
import { GattTable, STRAP_SERVICES, type TableService } from './support/gatt-table.ts';
import { ATT_CHANNEL, DESIRED_MTU, SMP_CHANNEL, startScriptedLink, type ScriptedLink } from './support/scripted-link.ts';

const MTU_REQUEST = Buffer.of(0x02, DESIRED_MTU & 0xff, DESIRED_MTU >> 8);
const ENABLE_NOTIFICATIONS = Buffer.of(0x01, 0x00);
const ENABLE_INDICATIONS = Buffer.of(0x02, 0x00);
const WIDE = '-0000-1000-8000-00805f9b34fb';

interface Strap extends ScriptedLink {
  table: GattTable;
  /** What the product sent, in order. */
  sent: Buffer[];
  encrypts: number;
}

interface Script {
  services?: readonly TableService[];
  /** Answers in place of the table's; undefined: the table's, null: none. */
  answer?: (request: Buffer, strap: Strap) => Buffer | null | undefined;
  onEncrypt?: (strap: Strap) => void;
}

/** A link whose peripheral answers at once. The MTU exchange is answered unless the script does it. */
function startStrap({ services = STRAP_SERVICES, answer, onEncrypt }: Script = {}): Strap {
  const table = new GattTable(services);
  const respond = (request: Buffer): void => {
    const own = answer?.(request, strap);
    if (own === null) return;
    queueMicrotask(() => strap.deliver(own ?? table.answer(request)));
  };
  const link = startScriptedLink({
    onWrite: (data, channel) => {
      strap.sent.push(data);
      const isRequest = channel === ATT_CHANNEL && (data[0] ?? 1) % 2 === 0 && data[0] !== 0x1e;
      if (isRequest) respond(data);
    },
    onEncrypt: () => {
      strap.encrypts += 1;
      onEncrypt?.(strap);
    },
  });
  const strap: Strap = { ...link, table, sent: [], encrypts: 0 };
  respond(MTU_REQUEST);
  return strap;
}

async function measurementOf(strap: Strap): Promise<RadioCharacteristic> {
  const found = (await strap.connection.discover()).find(({ uuid, notifies }) => uuid === '2a37' && notifies);
  assert.ok(found !== undefined, 'a heart rate measurement is discovered');
  return found;
}

const isWrite = (request: Buffer): boolean => request[0] === 0x12;
const isDescriptorRequest = (request: Buffer): boolean => request[0] === 0x04;
const refuse =
  (matches: (request: Buffer) => boolean, code: number) =>
  (request: Buffer): Buffer | undefined =>
    request[0] !== 0x02 && matches(request) ? encodeError(request[0] ?? 0, request.readUInt16LE(1), code) : undefined;

async function rejection(run: () => Promise<unknown>): Promise<RadioError> {
  const error = await run().then(
    () => assert.fail('it should be rejected'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RadioError, `a RadioError, not ${String(error)}`);
  return error;
}

describe('answers to requests', () => {
  for (const code of [0x03, 0x04, 0x0e, 0x11, 0xfd])
    test(`a subscription refused with 0x${code.toString(16)} is rejected with this code, and the link still works`, async () => {
      const strap = startStrap({ answer: refuse(isWrite, code) });
      const measurement = await measurementOf(strap);
      const error = await rejection(async () => await measurement.subscribe(() => {}));
      assert.deepEqual([error.code, error.attError], ['refused', code]);
      assert.equal((await strap.connection.discoverOptional()).length, 4, 'the next requests are answered');
    });

  test('a refused read and a refused discovery are rejected with their codes', async () => {
    const reads = startStrap({ answer: refuse((request) => request[0] === 0x0a, 0x02) });
    const [location] = (await reads.connection.discover()).filter(({ readable }) => readable);
    assert.equal((await rejection(async () => await location?.read())).attError, 0x02);
    const services = startStrap({ answer: refuse((request) => request[0] === 0x10, 0x0e) });
    assert.equal((await rejection(async () => await services.connection.discover())).attError, 0x0e);
  });

  test('an answer of another kind is bad_answer, and the next request is sent', async () => {
    let wrong = true;
    const strap = startStrap({
      answer: (request) => {
        if (!isWrite(request) || !wrong) return undefined;
        wrong = false;
        return Buffer.of(0x0b, 0x00);
      },
    });
    const measurement = await measurementOf(strap);
    assert.equal((await rejection(async () => await measurement.subscribe(() => {}))).code, 'bad_answer');
    await measurement.subscribe(() => {});
  });

  test('an error without a code is bad_answer', async () => {
    const strap = startStrap({ answer: (request) => (isWrite(request) ? Buffer.of(0x01, 0x12) : undefined) });
    const measurement = await measurementOf(strap);
    assert.equal((await rejection(async () => await measurement.subscribe(() => {}))).code, 'bad_answer');
  });

  for (const [what, answer] of [
    ['the error "invalid PDU"', Buffer.of(0x01, 0x02, 0x00, 0x00, 0x04)],
    ['the error "request not supported"', Buffer.of(0x01, 0x02, 0x00, 0x00, 0x06)],
    ['an MTU below the minimum', Buffer.of(0x03, 0x05, 0x00)],
    ['no MTU', Buffer.of(0x03)],
    ['another answer', Buffer.of(0x0b, 0x00)],
  ] as const)
    test(`${what} to the MTU request stalls nothing`, async () => {
      const strap = startStrap({ answer: (request) => (request[0] === 0x02 ? answer : undefined) });
      await (await measurementOf(strap)).subscribe(() => {});
    });

  test('an answer without a request is ignored', async () => {
    const strap = startStrap();
    const measurement = await measurementOf(strap);
    for (const hex of ['13', '0112000003', '01', '0b00', '']) strap.deliver(Buffer.from(hex, 'hex'));
    await measurement.subscribe(() => {});
  });

  test('requests wait for each other, and all are rejected when the link ends', async () => {
    const strap = startStrap({ answer: (request) => (isWrite(request) ? null : undefined) });
    const measurement = await measurementOf(strap);
    const before = strap.sent.length;
    const open = [1, 2, 3].map(async () => await rejection(async () => await measurement.write(Buffer.of(1))));
    await turn();
    assert.equal(strap.sent.length - before, 1, 'one request is under way');
    strap.endLink();
    assert.deepEqual(
      (await Promise.all(open)).map(({ code }) => code),
      ['link_ended', 'link_ended', 'link_ended'],
    );
    assert.equal((await rejection(async () => await measurement.write(Buffer.of(1)))).code, 'link_ended');
  });
});

describe('values and requests of the peripheral', () => {
  test('an indication is confirmed at once, also while a request is unanswered', async () => {
    const strap = startStrap({ answer: (request) => (isWrite(request) ? null : undefined) });
    const values: Buffer[] = [];
    const measurement = await measurementOf(strap);
    measurement.subscribe((value) => values.push(value)).catch(() => {});
    await turn();
    const [low, high] = [strap.table.handleOf('2a37') & 0xff, strap.table.handleOf('2a37') >> 8];
    strap.deliver(Buffer.of(0x1d, low, high, 0x06, 0x46));
    assert.deepEqual(strap.sent.at(-1), Buffer.of(0x1e));
    strap.deliver(Buffer.of(0x1d, 0xff, 0x00, 0x01));
    strap.deliver(Buffer.of(0x1d));
    assert.equal(strap.sent.filter((pdu) => pdu[0] === 0x1e).length, 3, 'those of unknown handles and cut ones as well');
    assert.deepEqual(values, [Buffer.of(0x06, 0x46)]);
    strap.endLink();
  });

  test('a notification is passed on once; without listener, cut or of another handle it is ignored', async () => {
    const strap = startStrap();
    const handle = strap.table.handleOf('2a37');
    const notification = Buffer.of(0x1b, handle, 0, 0x06, 0x46);
    const measurement = await measurementOf(strap);
    strap.deliver(notification);
    const values: Buffer[] = [];
    await measurement.subscribe((value) => values.push(value));
    strap.deliver(notification);
    strap.deliver(Buffer.of(0x1b, handle));
    strap.deliver(Buffer.of(0x1b, handle + 1, 0, 0x06, 0x47));
    assert.deepEqual(values, [Buffer.of(0x06, 0x46)]);
  });

  test('a peripheral that is a client as well is answered: its MTU, what it discovers, reads and writes', async () => {
    const strap = startStrap();
    await measurementOf(strap);
    const answerTo = (hex: string): string | undefined => {
      const before = strap.sent.length;
      strap.deliver(Buffer.from(hex, 'hex'));
      assert.ok(strap.sent.length - before <= 1, 'one answer');
      return strap.sent[before]?.toString('hex');
    };
    assert.equal(answerTo('028000'), '030001');
    assert.equal(answerTo('100100ffff0028'), '011001000a');
    assert.equal(answerTo('0a0300'), '010a030001');
    assert.equal(answerTo('1203000100'), '0112030001');
    assert.equal(answerTo('160300000000'), '0116030006');
    assert.equal(answerTo('52030001'), undefined);
    assert.equal(answerTo('1e'), undefined);
  });

  test('a request that the controller loops back is not answered', async () => {
    const strap = startStrap({ answer: (request) => (request[0] === 0x02 ? null : undefined) });
    strap.deliver(MTU_REQUEST);
    assert.deepEqual(strap.sent, []);
  });
});

describe('pairing', () => {
  const demandsEncryption = (code: number, encrypted: () => boolean): NonNullable<Script['answer']> => {
    const refused = refuse(isWrite, code);
    return (request) => (encrypted() ? undefined : refused(request));
  };

  for (const code of [0x05, 0x0f])
    test(`0x0${code.toString(16)} leads to pairing, and then the request is sent again`, async () => {
      let encrypted = false;
      const strap = startStrap({
        answer: demandsEncryption(code, () => encrypted),
        onEncrypt: (paired) => {
          encrypted = true;
          queueMicrotask(() => paired.encrypted(1));
        },
      });
      await (await measurementOf(strap)).subscribe(() => {});
      assert.equal(strap.encrypts, 1);
      assert.equal(strap.sent.filter(isWrite).length, 2);
    });

  test('the MTU request is sent again whole after pairing', async () => {
    let encrypted = false;
    const strap = startStrap({
      answer: (request) => (request[0] === 0x02 && !encrypted ? encodeError(0x02, 0, 0x05) : undefined),
      onEncrypt: (paired) => {
        encrypted = true;
        queueMicrotask(() => paired.encrypted(1));
      },
    });
    await measurementOf(strap);
    assert.deepEqual(strap.sent[0], MTU_REQUEST);
  });

  for (const result of [0, undefined])
    test(`pairing that ends with ${result === 0 ? 'an unencrypted link' : 'a refusal'} is pairing_failed`, async () => {
      const strap = startStrap({
        answer: demandsEncryption(0x05, () => false),
        onEncrypt: (paired) => queueMicrotask(() => paired.encrypted(result)),
      });
      const measurement = await measurementOf(strap);
      const error = await rejection(async () => await measurement.subscribe(() => {}));
      assert.deepEqual([error.code, error.attError], ['pairing_failed', 0x05]);
    });

  test('a strap that is not content with encryption is refused; pairing is tried once per link', async () => {
    const strap = startStrap({
      answer: demandsEncryption(0x05, () => false),
      onEncrypt: (paired) => queueMicrotask(() => paired.encrypted(1)),
    });
    const measurement = await measurementOf(strap);
    for (let tries = 0; tries < 2; tries += 1)
      assert.equal((await rejection(async () => await measurement.subscribe(() => {}))).code, 'refused');
    assert.equal(strap.encrypts, 1);
  });

  test('pairing that the strap never answers fails within 5 s', async () => {
    const strap = startStrap({ answer: demandsEncryption(0x05, () => false) });
    const measurement = await measurementOf(strap);
    const from = performance.now();
    assert.equal((await rejection(async () => await measurement.subscribe(() => {}))).code, 'pairing_failed');
    assert.ok(performance.now() - from < 5000, 'the time limit of pairing');
  });

  test('a Security Request is answered by pairing, once', () => {
    const strap = startStrap();
    for (let times = 0; times < 2; times += 1) strap.deliver(Buffer.of(0x0b, 0x01), SMP_CHANNEL);
    strap.deliver(Buffer.of(0x05, 0x08), SMP_CHANNEL);
    strap.deliver(Buffer.alloc(0), SMP_CHANNEL);
    assert.equal(strap.encrypts, 1);
    strap.endLink();
  });
});

describe('discovery by the rules of the Core Specification', () => {
  const heartRate = (uuid: string, characteristics: TableService['characteristics']): TableService[] => [
    { uuid: '1800', characteristics: [] },
    { uuid, characteristics },
  ];
  const NOTIFIES = [{ uuid: '2a37', properties: 0x10 }] as const;
  const written = (strap: Strap): Buffer | undefined => strap.sent.find(isWrite)?.subarray(3);

  test('the 128-bit forms of UUIDs name the same service and characteristic', async () => {
    const strap = startStrap({ services: heartRate(`0000180d${WIDE}`, [{ uuid: `00002a37${WIDE}`, properties: 0x10 }]) });
    await (await measurementOf(strap)).subscribe(() => {});
    assert.deepEqual(written(strap), ENABLE_NOTIFICATIONS);
  });

  test('a characteristic that only indicates is subscribed for indications', async () => {
    const strap = startStrap({ services: heartRate('180d', [{ uuid: '2a37', properties: 0x20 }]) });
    await (await measurementOf(strap)).subscribe(() => {});
    assert.deepEqual(written(strap), ENABLE_INDICATIONS);
  });

  test('a first heart rate service that only can be read does not hide the second', async () => {
    const services = [...heartRate('180d', [{ uuid: '2a37', properties: 0x02 }]), ...heartRate('180d', NOTIFIES)];
    await (await measurementOf(startStrap({ services }))).subscribe(() => {});
  });

  test('without a configuration descriptor nothing is written, and the subscription succeeds', async () => {
    const strap = startStrap({
      answer: refuse((request) => isDescriptorRequest(request) || request.subarray(5).equals(Buffer.of(0x02, 0x29)), 0x0a),
    });
    await (await measurementOf(strap)).subscribe(() => {});
    assert.equal(written(strap), undefined);
  });

  for (const [what, answer] of [
    ['that does not support the request', encodeError(0x04, 1, 0x06)],
    ['whose answer is malformed', Buffer.of(0x05, 0x01)],
  ] as const)
    test(`a strap ${what} for descriptors is subscribed by another request`, async () => {
      const strap = startStrap({ answer: (request) => (isDescriptorRequest(request) ? answer : undefined) });
      await (await measurementOf(strap)).subscribe(() => {});
      assert.deepEqual(written(strap), ENABLE_NOTIFICATIONS);
    });

  test('services whose handles do not ascend end the discovery', async () => {
    let requests = 0;
    const strap = startStrap({
      answer: (request) => {
        if (request[0] !== 0x10) return undefined;
        requests += 1;
        return Buffer.from('1106' + '010005000018' + '050009000d18', 'hex');
      },
    });
    assert.deepEqual(await strap.connection.discover(), []);
    assert.equal(requests, 1);
  });

  test('an empty list of services is bad_answer', async () => {
    const strap = startStrap({ answer: (request) => (request[0] === 0x10 ? Buffer.of(0x11, 0x06) : undefined) });
    assert.equal((await rejection(async () => await strap.connection.discover())).code, 'bad_answer');
  });

  test('a value longer than one answer is read to its end', async () => {
    const strap = startStrap();
    await strap.connection.discover();
    const texts = (await strap.connection.discoverOptional()).filter(({ uuid }) => uuid.startsWith('2a2'));
    const values = await Promise.all(texts.map(async (text) => (await text.read()).toString()));
    assert.deepEqual(values, ['Manufacturer '.repeat(5), 'Model', '1'.repeat(22)]);
  });
});
