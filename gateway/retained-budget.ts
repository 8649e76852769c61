/** Which topics are retained, and with how many bytes: both are bounded. */
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

  /** Books a retained message; the limit that it would break, and then nothing is booked. An empty payload frees its topic. */
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
