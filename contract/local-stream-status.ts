/** What the local stream says beside Kinesis' protocol: why it cannot answer, and to a GET a sign of life and which client it limits. */
import Type, { type Static } from 'typebox';
import { parserOf } from './validate.ts';

/** Header of an answer with status 500: the reason code of why the local stream could not do what it was asked. */
export const LOCAL_STREAM_REASON_HEADER = 'x-hr-gateway-reason';
/** Its file cannot be used now: the disk is full, read-only or fails, or another process holds a lock. The error's message says which. */
export const LOCAL_STREAM_FILE = 'local_stream_file';

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
