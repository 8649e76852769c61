/** The queue of a running forwarder, as its status on MQTT reports it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ForwarderStatus } from '../../contract/forwarder-status.ts';
import { parseServiceStatus } from '../../contract/service-status.ts';
import { serviceStatusTopic } from '../../contract/topics.ts';
import { readConfig } from '../../service/config/config.ts';
import { createLogger } from '../../service/log/log.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import type { Pipeline } from './pipeline.ts';
import type { Scratch } from './scratch.ts';

export interface StatusWatch {
  /** The count in the next status, and the time of that status. */
  shipped(): Promise<{ atMs: number; shipped: number }>;
  /** Waits until the queue is empty. */
  untilEmpty(withinMs?: number): Promise<{ shipped: number; accepted: number }>;
  last(): ForwarderStatus | undefined;
}

export async function forwarderStatus(scratch: Scratch, pipeline: Pipeline): Promise<StatusWatch> {
  const config = readConfig({ DATA_DIR: pipeline.dataDir, MQTT_URL: pipeline.mqttUrl, GATEWAY_NAME: 'bench' });
  let last: ForwarderStatus | undefined;
  let atMs = 0;
  let waiting: (() => void)[] = [];
  const link = new MqttLink({
    service: 'admin-api',
    config,
    log: createLogger('bench', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' }),
    subscriptions: {
      [serviceStatusTopic('bench', 'forwarder')]: (_topic, payload) => {
        const status = parseServiceStatus(payload);
        if (!status.ok) return;
        last = status.value.forwarder;
        atMs = Date.parse(status.value.as_of ?? '');
        for (const resume of waiting) resume();
        waiting = [];
      },
    },
  });
  scratch.after(async () => await link.stop());
  link.start();
  await new Promise<void>((resolve) => link.on('up', resolve));
  return {
    last: () => last,
    async shipped() {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { atMs, shipped: last?.ledger.shipped ?? 0 };
    },
    async untilEmpty(withinMs = 120_000) {
      const end = performance.now() + withinMs;
      while (last === undefined || last.depth > 0) {
        if (performance.now() > end) throw new Error(`still queued: ${last?.depth}`);
        await sleep(100);
      }
      return { shipped: last.ledger.shipped, accepted: last.ledger.accepted };
    },
  };
}
