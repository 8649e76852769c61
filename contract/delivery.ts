/**
 * The delivery plane (design section 1): numbered readings from a sequencer to the forwarder, acknowledged end to end.
 *
 * - sequencer → `edge/<gateway>/offer/<run>`: what it holds (`Offer`).
 * - sequencer → `edge/<gateway>/readings/<run>`: packets of lines `<seq> <reading JSON without line breaks>`.
 * - forwarder → `edge/<gateway>/stored/<run>`: everything up to a seq is stored or accounted for (`Stored`).
 * - forwarder → `edge/sync`: it has (re)subscribed, sequencers offer again (`Sync`).
 */
import Type, { type Static } from 'typebox';
import { runSchema } from './fields.ts';
import { GATEWAY_PATTERN, RUN_PATTERN } from './topics.ts';
import { parserOf } from './validate.ts';

/** The name of a box, `GATEWAY_NAME`. */
export const gatewayNameSchema = Type.String({ pattern: GATEWAY_PATTERN.source });
const seqSchema = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const positiveSeqSchema = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** Why a sequencer no longer holds readings that the forwarder has not stored. */
export const DROP_CAUSES = ['outbox_full', 'disk_failed', 'damaged'] as const;
export type DropCause = (typeof DROP_CAUSES)[number];
export const dropCauseSchema = Type.Enum([...DROP_CAUSES]);
/** How many readings were dropped, by cause. */
export const droppedCountsSchema = Type.Object(
  { outbox_full: Type.Optional(seqSchema), disk_failed: Type.Optional(seqSchema), damaged: Type.Optional(seqSchema) },
  { additionalProperties: false },
);

/** Why seqs were never accepted: dropped by the sequencer, or stored by a queue file that is gone. */
export const MISSED_CAUSES = [...DROP_CAUSES, 'earlier_queue', 'unknown'] as const;
export type MissedCause = (typeof MISSED_CAUSES)[number];

export const offerSchema = Type.Object(
  {
    run: runSchema,
    /** Oldest seq held; last + 1 if nothing is held. */
    from: positiveSeqSchema,
    /** Newest seq given out in this run; 0 if none yet. */
    last: seqSchema,
    /** Readings of this run below `from` that were dropped before they were stored. */
    dropped: droppedCountsSchema,
    /** Starts at random and counts up with each offer; sending starts at the answer that carries the current one. */
    sync: seqSchema,
    /**
     * The run has ended: `last` is its last seq, and everything up to it is stored. Said in an offer of its own, which a forwarder that
     * does not know the field refuses; delivery does not depend on it.
     */
    final: Type.Optional(Type.Literal(true)),
  },
  { additionalProperties: false },
);
export type Offer = Static<typeof offerSchema>;

/** Seqs `from` to `to` of a run were recorded as missed. */
export const missedSpanSchema = Type.Object(
  {
    from: positiveSeqSchema,
    to: positiveSeqSchema,
    cause: Type.Union([
      Type.Literal('outbox_full'),
      Type.Literal('disk_failed'),
      Type.Literal('damaged'),
      Type.Literal('earlier_queue'),
      Type.Literal('unknown'),
    ]),
  },
  { additionalProperties: false },
);
export type MissedSpan = Static<typeof missedSpanSchema>;

export const storedSchema = Type.Object(
  {
    /** Identity of the queue file: 16 hexadecimal digits, made with the file. */
    queue: runSchema,
    /** The watermark: every seq up to this one is stored or accounted for. */
    stored: seqSchema,
    /** Of the offer that this answers; absent in the confirmation of a commit. */
    sync: Type.Optional(seqSchema),
    /** Seqs that this answer or commit recorded as missed. */
    missed: Type.Optional(Type.Array(missedSpanSchema, { maxItems: 100 })),
  },
  { additionalProperties: false },
);
export type Stored = Static<typeof storedSchema>;

export const syncSchema = Type.Object(
  {
    queue: runSchema,
    /** Whose readings this forwarder takes; `*`: every gateway's. */
    gateways: Type.Array(Type.Union([gatewayNameSchema, Type.Literal('*')]), { minItems: 1, maxItems: 1000 }),
  },
  { additionalProperties: false },
);
export type Sync = Static<typeof syncSchema>;

export const parseOffer = parserOf(offerSchema);
export const parseStored = parserOf(storedSchema);
export const parseSync = parserOf(syncSchema);

/** A packet is closed before it grows beyond this; one larger reading travels alone. */
export const PACKET_MAX_BYTES = 64 * 1024;

export interface NumberedReading {
  seq: number;
  /** The reading's JSON, without line breaks. */
  payload: string;
}

/** A packet of readings: lines of `<seq> <payload>`. */
export function encodePacket(readings: readonly NumberedReading[]): string {
  return readings.map(({ seq, payload }) => `${seq} ${payload}`).join('\n');
}

/** Takes a packet apart. Lines without a seq are counted and left out: the sequencer sends them again. */
export function decodePacket(packet: Buffer | string): { readings: NumberedReading[]; malformed: number } {
  const readings: NumberedReading[] = [];
  let malformed = 0;
  for (const line of packet.toString().split('\n')) {
    const space = line.indexOf(' ');
    const seq = space < 1 ? Number.NaN : Number(line.slice(0, space));
    if (Number.isSafeInteger(seq) && seq > 0) readings.push({ seq, payload: line.slice(space + 1) });
    else malformed += 1;
  }
  return { readings, malformed };
}

export const DELIVERY_SYNC_TOPIC = 'edge/sync';
export const OFFER_FILTER = 'edge/+/offer/+';
export const DELIVERED_READINGS_FILTER = 'edge/+/readings/+';
export const offerTopic = (gateway: string, run: string): string => `edge/${gateway}/offer/${run}`;
export const deliveredReadingsTopic = (gateway: string, run: string): string => `edge/${gateway}/readings/${run}`;
export const deliveryStoredTopic = (gateway: string, run: string): string => `edge/${gateway}/stored/${run}`;

/** A pattern of a whole name, as part of a longer one. */
const inner = ({ source }: RegExp): string => source.slice(1, -1);
const DELIVERY_TOPIC = new RegExp(`^edge/(${inner(GATEWAY_PATTERN)})/(offer|readings|stored)/(${inner(RUN_PATTERN)})$`);

/** Whose sequencer a delivery topic belongs to, or undefined if it is none. */
export function sequencerOfTopic(topic: string): { gateway: string; run: string } | undefined {
  const match = DELIVERY_TOPIC.exec(topic);
  return match?.[1] === undefined || match[3] === undefined ? undefined : { gateway: match[1], run: match[3] };
}
