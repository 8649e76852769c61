/**
 * What version 1 left on a broker: statuses retained on `edge/<service>/status`. Only what they have in common is described here, enough to
 * remove them without touching a message of anybody else.
 */
import Type from 'typebox';
import { timeSchema } from './fields.ts';
import { SERVICE_NAMES } from './topics.ts';
import { parserOf } from './validate.ts';

export const version1StatusSchema = Type.Object({
  service: Type.Enum(SERVICE_NAMES),
  state: Type.Enum(['online', 'offline']),
  since: timeSchema,
  version: Type.String({ maxLength: 100 }),
});

/** Parses a status of version 1; never throws. */
export const parseVersion1Status = parserOf(version1StatusSchema);
