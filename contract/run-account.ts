/** The account of one run: what became of each of its seqs. Crosses processes in answers to `show-run`. */
import Type, { type Static } from 'typebox';
import { countsSchema, countSchema, nullable, runSchema } from './fields.ts';

/**
 * `unknown`: before this run was audited (a queue file of an older version), or in a file whose damage took the account with it.
 * `queued`: stored and not shipped yet.
 */
export const SPAN_OUTCOMES = ['shipped', 'queued', 'dead', 'evicted', 'missed', 'unknown'] as const;
export type SpanOutcome = (typeof SPAN_OUTCOMES)[number];

/** Spans in one answer: it stays below the size that brokers allow for a message. */
export const RUN_SPANS_LISTED_MAX = 1000;

export const runSpanSchema = Type.Object({
  from: countSchema,
  to: countSchema,
  outcome: Type.Enum(SPAN_OUTCOMES),
  cause: nullable(Type.String({ maxLength: 200, description: 'Code of docs/errors.md; null if shipped, queued or unknown' })),
});
export type RunSpan = Static<typeof runSpanSchema>;

export const runCountsSchema = Type.Object({
  shipped: countSchema,
  queued: countSchema,
  dead: countSchema,
  evicted: countSchema,
  missed: countSchema,
  unknown: countSchema,
});
export type RunCounts = Static<typeof runCountsSchema>;

export const runAccountSchema = Type.Object({
  gateway: Type.String({ maxLength: 200 }),
  run: runSchema,
  state: Type.Enum(['open', 'closed'], {
    description: 'Closed: its process has ended, as far as that is known, or it is unused for a day',
  }),
  watermark: Type.Integer({ ...countSchema, description: 'Every seq up to this one is stored or accounted for' }),
  counts: runCountsSchema,
  causes: Type.Object({ dead: countsSchema, evicted: countsSchema, missed: countsSchema }),
  counted_only: Type.Union([Type.Object({ from: countSchema, to: countSchema, counts: runCountsSchema }), Type.Null()], {
    description: 'The oldest seqs of which only numbers are kept; null if there are none',
  }),
  spans: Type.Array(runSpanSchema, {
    maxItems: RUN_SPANS_LISTED_MAX,
    description: 'From the counted ones, or from the parameter, to the watermark, in order, without gap or overlap',
  }),
  next_from: Type.Union([countSchema, Type.Null()], {
    description: 'Value of `from` that lists the next spans; null if there are no more',
  }),
  complete: Type.Boolean({ description: 'Every seq up to the watermark is shipped' }),
  verdict: Type.String({ maxLength: 2000, description: 'The same for people' }),
});
export type RunAccount = Static<typeof runAccountSchema>;
