/**
 * Retained messages, by topic and in a tree of topic levels: a new subscription costs what it matches, not what there is. Aedes' own store
 * tests every retained topic at every SUBSCRIBE.
 */

export interface RetainedMessage {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
}

interface Node {
  children: Map<string, Node> | undefined;
  message: RetainedMessage | undefined;
}

const newNode = (): Node => ({ children: undefined, message: undefined });

export class RetainedStore {
  #root = newNode();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  set(message: RetainedMessage): void {
    let node = this.#root;
    for (const level of message.topic.split('/')) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    if (node.message === undefined) this.#size += 1;
    node.message = message;
  }

  /** Removes the message of a topic, and the levels that lead nowhere then. */
  delete(topic: string): void {
    const path: { parent: Node; level: string }[] = [];
    let node = this.#root;
    for (const level of topic.split('/')) {
      const child = node.children?.get(level);
      if (child === undefined) return;
      path.push({ parent: node, level });
      node = child;
    }
    if (node.message === undefined) return;
    node.message = undefined;
    this.#size -= 1;
    for (const { parent, level } of path.toReversed()) {
      const child = parent.children?.get(level);
      if (child?.message !== undefined || (child?.children?.size ?? 0) > 0) return;
      parent.children?.delete(level);
    }
  }

  /** The messages that a filter matches (MQTT 3.1.1 section 4.7). What changes meanwhile may or may not be among them. */
  *matching(filter: string): Generator<RetainedMessage> {
    yield* this.#matching(this.#root, filter.split('/'), 0);
  }

  *#matching(node: Node, levels: readonly string[], at: number): Generator<RetainedMessage> {
    const level = levels[at];
    if (level === undefined) {
      if (node.message !== undefined) yield node.message;
      return;
    }
    if (level === '#') return yield* this.#below(node, at === 0);
    if (level !== '+') {
      const child = node.children?.get(level);
      if (child !== undefined) yield* this.#matching(child, levels, at + 1);
      return;
    }
    for (const [name, child] of node.children ?? [])
      // [MQTT-4.7.2-1]
      if (at > 0 || !name.startsWith('$')) yield* this.#matching(child, levels, at + 1);
  }

  *#below(node: Node, isRoot: boolean): Generator<RetainedMessage> {
    if (node.message !== undefined) yield node.message;
    for (const [name, child] of node.children ?? []) if (!isRoot || !name.startsWith('$')) yield* this.#below(child, false);
  }
}
