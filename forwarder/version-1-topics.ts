/**
 * Removes the retained statuses of version 1 from the broker: their topics do not name the gateway, nobody publishes there any more, and
 * an external broker keeps them for ever. A bridge of version 1 that still runs publishes its status again; that one is left alone.
 */
import { version1StatusTopic, VERSION_1_STATUS_FILTER } from '../contract/topics.ts';
import { parseVersion1Status } from '../contract/version-1.ts';
import type { Logger } from '../service/log/log.ts';
import type { MessageHandler } from '../service/mqtt/subscription-routes.ts';

export interface Version1TopicsOptions {
  log: Logger;
  publish: (topic: string, payload: string, options: { retain: boolean }) => boolean;
}

export class Version1Topics {
  readonly #options: Version1TopicsOptions;
  /** Retained messages arrive before the last subscription is acknowledged, and until then nothing can be published. */
  readonly #waiting = new Set<string>();

  constructor(options: Version1TopicsOptions) {
    this.#options = options;
  }

  /** To be spread into the forwarder's subscriptions. Retained messages that are not statuses of ours stay. */
  get subscriptions(): Record<string, MessageHandler> {
    return {
      [VERSION_1_STATUS_FILTER]: (topic, payload, retained) => {
        if (!retained || payload.length === 0) return;
        const status = parseVersion1Status(payload);
        if (!status.ok || topic !== version1StatusTopic(status.value.service)) return;
        if (!this.#remove(topic)) this.#waiting.add(topic);
      },
    };
  }

  /** The connection is up: publishes work. */
  up(): void {
    for (const topic of this.#waiting) if (this.#remove(topic)) this.#waiting.delete(topic);
  }

  #remove(topic: string): boolean {
    const isSent = this.#options.publish(topic, '', { retain: true });
    if (isSent)
      this.#options.log.info(
        { event: 'version_1_topic_removed', topic },
        'removed a retained status of version 1 from the broker',
      );
    return isSent;
  }
}
