/**
 * Lowers what all clients that are no services may do together while the event loop is busy, and raises it again. The budgets suit a
 * machine of medium speed; on a slower one, or beside other work, this keeps time for the services.
 */
import { performance as clock, type EventLoopUtilization } from 'node:perf_hooks';

const SAMPLE_MS = 500;
const BUSY = 0.9;
const CALM = 0.7;
const LOWEST = 0.25;

/** The scale after half a second in which the event loop was busy for this part of the time. */
export function nextScale(scale: number, utilization: number): number {
  if (utilization > BUSY) return Math.max(LOWEST, scale * 0.7);
  return utilization < CALM ? Math.min(1, scale * 1.3) : scale;
}

export class BusyScale {
  readonly #apply: (scale: number) => void;
  #scale = 1;
  #before: EventLoopUtilization | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(apply: (scale: number) => void) {
    this.#apply = apply;
  }

  /** Measures only while there are such clients: a box without them is not woken for it. Call it every second. */
  watch(hasClients: boolean): void {
    if (!hasClients) return this.stop();
    if (this.#timer !== undefined) return;
    this.#before = clock.eventLoopUtilization();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
  }

  #sample(): void {
    const now = clock.eventLoopUtilization();
    const { utilization } = clock.eventLoopUtilization(now, this.#before);
    this.#before = now;
    this.#set(nextScale(this.#scale, utilization));
  }

  #set(scale: number): void {
    if (scale === this.#scale) return;
    this.#scale = scale;
    this.#apply(scale);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#set(1);
  }
}
