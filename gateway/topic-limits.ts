/** Length and levels of topics and filters are bounded, and U+0000 is not allowed in them ([MQTT-1.5.3-2]). */
import type { ClientLimits } from './client-limits.ts';

/** Topics that are known to be within the limits: they are checked with every message, and they are the same few. */
const KNOWN_MAX = 2000;

export class TopicLimits {
  readonly #limits: Pick<ClientLimits, 'topicBytes' | 'topicLevels'>;
  readonly #known = new Set<string>();

  constructor(limits: Pick<ClientLimits, 'topicBytes' | 'topicLevels'>) {
    this.#limits = limits;
  }

  /** The limit that a topic or filter breaks, or undefined. */
  faultOf(topic: string): 'null_character' | 'topic_bytes' | 'topic_levels' | undefined {
    if (this.#known.has(topic)) return undefined;
    if (topic.includes('\0')) return 'null_character';
    if (Buffer.byteLength(topic) > this.#limits.topicBytes) return 'topic_bytes';
    if (topic.split('/').length > this.#limits.topicLevels) return 'topic_levels';
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.add(topic);
    return undefined;
  }
}
