/** /events: what changes, as server-sent events. Each event is serialized once for all pages. */
import type { FastifyReply } from 'fastify';
import type { Fleet, FleetEvent } from './fleet.ts';
import type { Overview } from './answer-schemas.ts';

const PAGES_MAX = 200;
/** Further places that only the operator can take. */
const OPERATOR_PAGES_MAX = 20;
/** A page that does not read is disconnected; the browser reconnects automatically. */
const BACKLOG_MAX_BYTES = 256 * 1024;
const KEEP_ALIVE_MS = 15_000;
const OVERVIEW_EVERY_MS = 1000;

export class EventStream {
  readonly #fleet: Fleet;
  readonly #overview: () => Overview;
  /** Each page with the key of its session or `token`; undefined for one without either. */
  readonly #pages = new Map<FastifyReply['raw'], string | undefined>();
  #unsubscribe: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];
  #lastOverview = '';

  constructor(fleet: Fleet, overview: () => Overview) {
    this.#fleet = fleet;
    this.#overview = overview;
  }

  get pages(): number {
    return this.#pages.size;
  }

  start(): void {
    this.#unsubscribe = this.#fleet.onEvent((event) => this.#send(event));
  }

  /** The timers run while a page is open. */
  #startTimers(): void {
    if (this.#timers.length > 0) return;
    this.#timers = [
      setInterval(() => this.#sendOverview(), OVERVIEW_EVERY_MS),
      setInterval(() => this.#write(': \n\n'), KEEP_ALIVE_MS),
    ];
  }

  #stopTimers(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  #send(event: FleetEvent): void {
    if (this.#pages.size === 0 || event.type === 'service') return;
    this.#write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  #sendOverview(): void {
    const text = JSON.stringify(this.#overview());
    if (text === this.#lastOverview) return;
    this.#lastOverview = text;
    this.#write(`event: overview\ndata: ${text}\n\n`);
  }

  #write(text: string): void {
    for (const page of this.#pages.keys()) {
      if (page.writableLength > BACKLOG_MAX_BYTES) page.destroy();
      else page.write(text);
    }
  }

  /** Adds a page, with the key of its session if it is the operator's; false if too many are open. */
  add(reply: FastifyReply, session?: string): boolean {
    if (!this.#hasPlace(session !== undefined)) return false;
    reply.hijack();
    const page = reply.raw;
    page.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
    });
    page.write(`retry: 1000\n\nevent: overview\ndata: ${JSON.stringify(this.#overview())}\n\n`);
    this.#pages.set(page, session);
    this.#startTimers();
    page.once('close', () => {
      this.#pages.delete(page);
      if (this.#pages.size === 0) this.#stopTimers();
    });
    page.on('error', () => {});
    return true;
  }

  /** Pages of other clients never take the operator's places. */
  #hasPlace(isOperator: boolean): boolean {
    if (isOperator) return this.#pages.size < PAGES_MAX + OPERATOR_PAGES_MAX;
    let others = 0;
    for (const session of this.#pages.values()) if (session === undefined) others += 1;
    return others < PAGES_MAX && this.#pages.size < PAGES_MAX + OPERATOR_PAGES_MAX;
  }

  /** Closes the pages of a session that has ended. */
  closeOf(session: string): void {
    for (const [page, owner] of this.#pages) if (owner === session) page.destroy();
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#stopTimers();
    for (const page of this.#pages.keys()) page.destroy();
    this.#pages.clear();
  }
}
