/**
 * Bounds the number of retained topics and their bytes: of the services, and of all other clients. Each has its own bound, so that other
 * clients cannot use up what the services need.
 */
import type { MemoryBudget } from './budgets/memory-budget.ts';

export interface RetainedLimits {
  topics: number;
  topicsOfServices: number;
  /** Bytes of the services' messages; those of other clients are bounded by the memory budget. */
  bytesOfServices: number;
}

interface Kept {
  bytes: number;
  isOfService: boolean;
}

/** What a retained message costs beside topic and payload. */
const MESSAGE_OVERHEAD_BYTES = 200;

export class RetainedBudget {
  readonly #limits: RetainedLimits;
  readonly #memory: MemoryBudget;
  readonly #kept = new Map<string, Kept>();
  #topics = 0;
  #topicsOfServices = 0;
  #bytesOfServices = 0;

  constructor(limits: RetainedLimits, memory: MemoryBudget) {
    this.#limits = limits;
    this.#memory = memory;
  }

  /** Counts a retained message. Returns the limit that it would exceed, and then does not count it. An empty payload frees its topic. */
  take(topic: string, payloadBytes: number, isOfService: boolean): 'retained' | 'retained_bytes' | undefined {
    const before = this.#kept.get(topic);
    if (before !== undefined) this.#count(before, -1);
    if (payloadBytes === 0) {
      this.#kept.delete(topic);
      return undefined;
    }
    const kept = { bytes: payloadBytes + topic.length + MESSAGE_OVERHEAD_BYTES, isOfService };
    const fault = this.#faultOf(kept);
    if (fault !== undefined) {
      if (before !== undefined) this.#count(before, 1);
      return fault;
    }
    this.#kept.set(topic, kept);
    this.#count(kept, 1);
    return undefined;
  }

  #faultOf({ bytes, isOfService }: Kept): 'retained' | 'retained_bytes' | undefined {
    const { topics, topicsOfServices, bytesOfServices } = this.#limits;
    if (isOfService) {
      if (this.#topicsOfServices >= topicsOfServices) return 'retained';
      return this.#bytesOfServices + bytes > bytesOfServices ? 'retained_bytes' : undefined;
    }
    if (this.#topics >= topics) return 'retained';
    return this.#memory.hasRoom('retained', bytes) ? undefined : 'retained_bytes';
  }

  #count({ bytes, isOfService }: Kept, sign: 1 | -1): void {
    if (isOfService) {
      this.#topicsOfServices += sign;
      this.#bytesOfServices += sign * bytes;
    } else {
      this.#topics += sign;
      this.#memory.add('retained', sign * bytes);
    }
  }
}
