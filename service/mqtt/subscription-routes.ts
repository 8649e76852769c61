/** Which handlers a topic's messages go to. */
export type MessageHandler = (topic: string, payload: Buffer, retained: boolean) => void;

/** One handler per filter; a message goes to every filter that it matches. */
export type Subscriptions = Readonly<Record<string, MessageHandler>>;

export interface Route {
  filter: string;
  handler: MessageHandler;
}

/** How many topics' handlers are cached. */
const CACHED_MAX = 2000;

/** True if a topic matches a filter (MQTT 3.1.1 section 4.7). */
export function topicMatches(filter: string, topic: string): boolean {
  const want = filter.split('/');
  const have = topic.split('/');
  if (topic.startsWith('$') && (want[0] === '#' || want[0] === '+')) return false;
  for (const [index, level] of want.entries()) {
    if (level === '#') return true;
    if (index >= have.length || (level !== '+' && level !== have[index])) return false;
  }
  return want.length === have.length;
}

export class SubscriptionRoutes {
  readonly #subscriptions: Subscriptions;
  readonly #cache = new Map<string, readonly Route[]>();

  constructor(subscriptions: Subscriptions) {
    this.#subscriptions = subscriptions;
  }

  get filters(): string[] {
    return Object.keys(this.#subscriptions);
  }

  /** The handlers of a topic, cached: most messages have one of a few topics. */
  of(topic: string): readonly Route[] {
    let routes = this.#cache.get(topic);
    if (routes === undefined) {
      routes = Object.entries(this.#subscriptions).flatMap(([filter, handler]) =>
        topicMatches(filter, topic) ? [{ filter, handler }] : [],
      );
      if (this.#cache.size >= CACHED_MAX) this.#cache.clear();
      this.#cache.set(topic, routes);
    }
    return routes;
  }
}
