/**
 * The gateway's test of its own adoption at every start. Holding an acknowledgement rests on how Aedes works inside: a client of this
 * process publishes one reading at QoS 1 and one at QoS 2, and checks that neither is acknowledged before it is stored, that a PINGREQ is
 * answered meanwhile, and that both are acknowledged afterwards. Nothing of it leaves the process.
 */
import { EventEmitter } from 'node:events';
import { Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, parser, type Packet } from 'mqtt-packet';
import type { NumberedReading } from '../../contract/delivery.ts';
import type { ReadingSink, ReadingSinkEvents } from '../../outbox/reading-sink.ts';
import type { Logger } from '../../service/log/log.ts';
import type { Broker } from '../broker.ts';
import { RightsCheck } from '../rights.ts';
import { Adoption } from './adoption.ts';

const TOPIC = 'hr/self-test/bpm';
const STEP_LIMIT_MS = 2000;
/** What is acknowledged too early is acknowledged within a few turns of the event loop. */
const EARLY_MS = 30;

/** Numbers readings, forgets them, and stores when it is told to. */
class TestSink extends EventEmitter<ReadingSinkEvents> implements ReadingSink {
  readonly run = '0'.repeat(16);
  watermark = 0;
  #last = 0;

  add(): NumberedReading {
    this.#last += 1;
    return { seq: this.#last, payload: '' };
  }

  storeAll(): void {
    this.watermark = this.#last;
    this.emit('stored', this.watermark);
  }
}

class TestClient {
  readonly received: string[] = [];
  readonly #toBroker = new PassThrough();
  readonly #fromBroker = new PassThrough();
  readonly stream = Duplex.from({ readable: this.#toBroker, writable: this.#fromBroker });

  constructor() {
    const parse = parser({ protocolVersion: 4 });
    parse.on('packet', (packet) => this.received.push('messageId' in packet ? `${packet.cmd} ${packet.messageId}` : packet.cmd));
    this.#fromBroker.on('data', (chunk: Buffer) => void parse.parse(chunk));
  }

  send(packet: Packet): void {
    this.#toBroker.write(generate(packet));
  }

  async expect(...packets: string[]): Promise<void> {
    const endMs = performance.now() + STEP_LIMIT_MS;
    while (!packets.every((packet) => this.received.includes(packet))) {
      if (performance.now() > endMs) throw new Error(`no ${packets.join(' and ')} within ${STEP_LIMIT_MS} ms`);
      await sleep(2);
    }
  }

  end(): void {
    this.stream.destroy();
  }
}

async function run(broker: Broker, client: TestClient, sink: TestSink, adoption: Adoption): Promise<void> {
  const identity = { kind: 'user', name: 'self-test', rights: new RightsCheck({ publish: [TOPIC], subscribe: [] }) } as const;
  broker.handleInternal(client.stream, { identity, adoption });
  client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0, clientId: 'self-test' });
  await client.expect('connack');
  const publish = { cmd: 'publish', topic: TOPIC, payload: '72', dup: false, retain: false } as const;
  client.send({ ...publish, qos: 1, messageId: 1 });
  client.send({ ...publish, qos: 2, messageId: 2 });
  client.send({ cmd: 'pingreq' });
  await client.expect('pingresp');
  await sleep(EARLY_MS);
  if (adoption.heldCount !== 2 || client.received.length !== 2)
    throw new Error('a publish was acknowledged before it was stored');
  sink.storeAll();
  await client.expect('puback 1', 'pubrec 2');
  client.send({ cmd: 'pubrel', messageId: 2 });
  await client.expect('pubcomp 2');
}

/** Resolves to undefined, or to what went wrong. */
export async function testAdoption(broker: Broker, log: Logger): Promise<string | undefined> {
  const sink = new TestSink();
  const sinks = { memory: sink, spilling: new TestSink() };
  const adoption = new Adoption({ log, sinks, clock: () => 'unknown', spillBytes: 0 });
  adoption.isHolding = true;
  adoption.start();
  const client = new TestClient();
  try {
    await run(broker, client, sink, adoption);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    client.end();
    await adoption.stop();
  }
}
