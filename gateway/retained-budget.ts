/** Bounds the number of retained topics and their bytes. */
export interface RetainedLimits {
  maxTopics: number;
  maxBytes: number;
}

export class RetainedBudget {
  readonly #limits: RetainedLimits;
  readonly #bytesByTopic = new Map<string, number>();
  #bytes = 0;

  constructor(limits: RetainedLimits) {
    this.#limits = limits;
  }

  /** Counts a retained message. Returns the limit that it would exceed, and then does not count it. An empty payload frees its topic. */
  take(topic: string, payloadBytes: number): 'retained' | 'retained_bytes' | undefined {
    const before = this.#bytesByTopic.get(topic);
    if (payloadBytes === 0) {
      this.#bytesByTopic.delete(topic);
      this.#bytes -= before ?? 0;
      return undefined;
    }
    const bytes = payloadBytes + topic.length;
    if (before === undefined && this.#bytesByTopic.size >= this.#limits.maxTopics) return 'retained';
    if (this.#bytes - (before ?? 0) + bytes > this.#limits.maxBytes) return 'retained_bytes';
    this.#bytesByTopic.set(topic, bytes);
    this.#bytes += bytes - (before ?? 0);
    return undefined;
  }
}
