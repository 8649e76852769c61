/**
 * Service status, retained on `edge/<gateway>/<service>/status` (last will: offline). Services know each other only through it. The
 * details of a service are under a key of its own, so that a reader never mistakes one service's for another's.
 */
import Type, { type Static } from 'typebox';
import { boxStatusSchema } from './box-status.ts';
import { bridgeStatusSchema } from './bridge-status.ts';
import { checkSchema } from './check.ts';
import { timeSchema } from './fields.ts';
import { forwarderStatusSchema } from './forwarder-status.ts';
import { gatewayStatusSchema } from './gateway-status.ts';
import { SERVICE_NAMES } from './topics.ts';
import { parserOf } from './validate.ts';

/** How often a service publishes its status and its metrics, even if nothing changed. */
export const STATUS_INTERVAL_MS = 5000;
/** A status older than this is stale: its service hangs or lost its connection. The one limit for every reader. */
export const STATUS_STALE_MS = 3 * STATUS_INTERVAL_MS;

/** A last will, which is written long before it is published, has only service, state, since and version. */
export const serviceStatusSchema = Type.Object({
  service: Type.Enum(SERVICE_NAMES),
  state: Type.Enum(['online', 'offline']),
  /** Online: start of the process. */
  since: timeSchema,
  version: Type.String({ maxLength: 100 }),
  pid: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Made at random when the service starts: tells two services of one name on one broker apart. */
  instance: Type.Optional(Type.String({ pattern: '^[0-9a-f]{16}$' })),
  /** Host name of the machine, for people. */
  host: Type.Optional(Type.String({ maxLength: 255 })),
  /** When this status was written. */
  as_of: Type.Optional(timeSchema),
  checks: Type.Optional(Type.Array(checkSchema, { maxItems: 100 })),
  forwarder: Type.Optional(forwarderStatusSchema),
  bridge: Type.Optional(bridgeStatusSchema),
  gateway: Type.Optional(gatewayStatusSchema),
  box: Type.Optional(boxStatusSchema),
});
export type ServiceStatus = Static<typeof serviceStatusSchema>;
/** What a service adds about itself. */
export type ServiceDetails = Pick<ServiceStatus, 'forwarder' | 'bridge' | 'gateway' | 'box'>;

/** Parses a service status; never throws. */
export const parseServiceStatus = parserOf(serviceStatusSchema);

/** True if the status is not current: the service is offline, or has not published for STATUS_STALE_MS. Clocks of one box agree. */
export function isStale({ state, since, as_of: asOf }: ServiceStatus, nowMs = Date.now()): boolean {
  return state === 'offline' || nowMs - Date.parse(asOf ?? since) > STATUS_STALE_MS;
}
