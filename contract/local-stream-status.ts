/** What the local stream answers to a GET: a sign of life, and which client it limits. */
import Type, { type Static } from 'typebox';
import { parserOf } from './validate.ts';

export const localStreamStatusSchema = Type.Object({
  status: Type.Literal('ok'),
  /** The client that was limited most within the last minute. */
  limited: Type.Optional(
    Type.Object({
      /** An IPv4 address, or the /64 network of an IPv6 one. */
      client: Type.String({ maxLength: 100 }),
      /** Connections that were closed because of it. */
      connections: Type.Integer({ minimum: 0 }),
      /** Unfinished bodies that were dropped. */
      bodies: Type.Integer({ minimum: 0 }),
    }),
  ),
});
export type LocalStreamStatus = Static<typeof localStreamStatusSchema>;

export const parseLocalStreamStatus = parserOf(localStreamStatusSchema);
