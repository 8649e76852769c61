/** Finds listeners on noble's objects: after a fault none of an ended link may be left. */
import type { EventEmitter } from 'node:events';

interface TrackedPeripheral extends EventEmitter {
  id: string;
  state: string;
}

interface TrackedNoble extends EventEmitter {
  _peripherals: Record<string, TrackedPeripheral>;
  _services: Record<string, Record<string, EventEmitter>>;
  _characteristics: Record<string, Record<string, Record<string, EventEmitter>>>;
}

/** Instances of noble that hci-h4-socket.cjs recorded and that are not collected yet; the last one is in use. */
function nobles(): TrackedNoble[] {
  const { hciNobles = [] } = globalThis as { hciNobles?: WeakRef<TrackedNoble>[] };
  return hciNobles.flatMap((noble) => noble.deref() ?? []);
}

const counts = (emitter: EventEmitter): Record<string, number> =>
  Object.fromEntries(emitter.eventNames().map((event) => [String(event), emitter.listenerCount(event)]));

function over(what: string, emitter: EventEmitter, allowed: Record<string, number>): string[] {
  return Object.entries(counts(emitter)).flatMap(([event, count]) =>
    count > (allowed[event] ?? 0) ? [`${what}: ${count} listeners of ${event}`] : [],
  );
}

/**
 * Describes listeners beyond those of links in use; to be called while no request is in progress. A connected peripheral has one for
 * its disconnect; one whose connect was cancelled may have one that ends a late connection; a characteristic has one for its data.
 */
export function strayListeners(): string[] {
  const all = nobles();
  const inUse = all.at(-1);
  const stray = all.flatMap((noble) => {
    const connected = (id: string): boolean => noble === inUse && noble._peripherals[id]?.state === 'connected';
    return [
      ...Object.values(noble._peripherals).flatMap((peripheral) =>
        over(
          `peripheral ${peripheral.id} (${peripheral.state})`,
          peripheral,
          connected(peripheral.id) ? { disconnect: 1 } : { connect: 1 },
        ),
      ),
      ...Object.entries(noble._services).flatMap(([id, services]) =>
        Object.entries(services).flatMap(([uuid, service]) => over(`service ${uuid} of ${id}`, service, {})),
      ),
      ...Object.entries(noble._characteristics).flatMap(([id, services]) =>
        Object.values(services).flatMap((characteristics) =>
          Object.entries(characteristics).flatMap(([uuid, characteristic]) =>
            over(`characteristic ${uuid} of ${id}`, characteristic, connected(id) ? { data: 1 } : {}),
          ),
        ),
      ),
    ];
  });
  const ofProcess = (['SIGINT', 'exit'] as const).flatMap((event) =>
    process.listenerCount(event) > 10 ? [`process: ${process.listenerCount(event)} listeners of ${event}`] : [],
  );
  return [...stray, ...ofProcess];
}
