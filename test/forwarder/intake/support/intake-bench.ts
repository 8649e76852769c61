/** The real intake on the real queue, with its thread and file. */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { encodePacket, parseStored, type NumberedReading, type Offer, type Stored } from '../../../../contract/delivery.ts';
import { Intake, type IntakeOptions } from '../../../../forwarder/intake/intake.ts';
import { Queue } from '../../../../forwarder/queue/queue.ts';
import type { RunWatermark } from '../../../../forwarder/queue/queue-messages.ts';
import { topicMatches } from '../../../../service/mqtt/subscription-routes.ts';
import { RefusedMessages } from '../../../../service/mqtt/refused-messages.ts';
import { deviceStatus } from '../../../support/messages.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

export const RUN = '0123456789abcdef';

export interface Bench {
  intake: Intake;
  refused: RefusedMessages;
  queue: Queue;
  queueId: string;
  watermarks: RunWatermark[];
  published: { topic: string; payload: string }[];
  send(topic: string, payload: string): void;
  offer(gateway: string, offer?: Partial<Offer>): void;
  packet(gateway: string, seqs: readonly number[], run?: string): void;
  /** Messages on `stored` of a run, in order. */
  stored(gateway: string, run?: string): Stored[];
  live(device: string, reading: object): void;
  /** A retained device status of a bridge. */
  strap(device: string, gateway: string): void;
  rows(): Promise<Record<string, unknown>[]>;
}

export const reading = (gateway: string, run: string, seq: number, more: object = {}): object => ({
  timestamp: '2026-11-22T19:00:00.123Z',
  heart_rate: 72,
  device: 'strap',
  gateway,
  run,
  seq,
  ...more,
});

/** The real intake on the real queue, with its thread and file; the broker is a list of what was published. */
export async function start(
  t: TestContext,
  folder: string,
  options: Partial<IntakeOptions> = {},
  environment: Record<string, string> = {},
  whileOpening: (send: Bench['send']) => void = () => {},
): Promise<Bench> {
  const config = testConfig({ DATA_DIR: folder, QUEUE_COMMIT_INTERVAL_MS: '5', ...environment });
  const queue = new Queue(config);
  const published: Bench['published'] = [];
  const refused = new RefusedMessages('forwarder', testLog(config));
  const intake = new Intake({
    queue,
    log: testLog(config),
    refused,
    gateway: 'test-box',
    gateways: ['*'],
    takesLiveReadings: true,
    publish: (topic, payload) => published.push({ topic, payload }) > 0,
    ...options,
  });
  queue.on('committed', ({ watermarks, unnumbered }) => intake.committed(watermarks, unnumbered));
  queue.on('refused', (refused) => intake.refused(refused.queue, refused.watermarks, refused.lostUnnumbered));
  queue.on('state', ({ mode }) => intake.setAccepting(mode === 'open'));
  const opened = once(queue, 'opened');
  await queue.start();
  const [watermarks, queueId] = (await opened) as [RunWatermark[], string];
  const send = (topic: string, payload: string): void => {
    for (const [filter, handler] of Object.entries(intake.subscriptions))
      if (topicMatches(filter, topic)) handler(topic, Buffer.from(payload), false);
  };
  whileOpening(send);
  intake.start(queueId, watermarks);
  t.after(async () => {
    await intake.stop();
    await queue.stop();
  });
  return {
    intake,
    refused,
    queue,
    queueId,
    watermarks,
    published,
    send,
    offer(gateway, offer = {}) {
      const run = offer.run ?? RUN;
      send(`edge/${gateway}/offer/${run}`, JSON.stringify({ run, from: 1, last: 0, dropped: {}, sync: 1, ...offer }));
    },
    packet(gateway, seqs, run = RUN) {
      const readings: NumberedReading[] = seqs.map((seq) => ({ seq, payload: JSON.stringify(reading(gateway, run, seq)) }));
      send(`edge/${gateway}/readings/${run}`, encodePacket(readings));
    },
    stored(gateway, run = RUN) {
      return published.flatMap(({ topic, payload }) => {
        const message = parseStored(payload);
        return topic === `edge/${gateway}/stored/${run}` && message.ok ? [message.value] : [];
      });
    },
    live: (device, message) => send(`hr/${device}/bpm`, JSON.stringify(message)),
    strap: (device, gateway) => send(`hr/${device}/status`, JSON.stringify(deviceStatus(device, { gateway }))),
    async rows() {
      const rows = await queue.take({ maxRows: 10_000, maxBytes: 100_000_000 });
      return rows.map(({ data }) => JSON.parse(data) as Record<string, unknown>);
    },
  };
}
