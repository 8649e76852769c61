/** Metrics of a service, not retained, on `edge/<service>/metrics`; the admin API turns them into Prometheus text. */
import Type, { type Static } from 'typebox';
import { timeSchema } from './fields.ts';
import { SERVICE_NAMES } from './topics.ts';
import { parserOf } from './validate.ts';

const nameSchema = Type.String({ pattern: '^hr_gateway_[a-z0-9_]{1,100}$' });
const helpSchema = Type.String({ maxLength: 500 });
const labelsSchema = Type.Record(Type.String({ pattern: '^[a-z_][a-z0-9_]{0,63}$' }), Type.String({ maxLength: 200 }), {
  additionalProperties: false,
  maxProperties: 10,
});

/** A counter or gauge, with one value for each set of labels. Names follow Prometheus' conventions. */
export const valuedMetricSchema = Type.Object({
  name: nameSchema,
  help: helpSchema,
  type: Type.Enum(['counter', 'gauge']),
  values: Type.Array(Type.Object({ labels: labelsSchema, value: Type.Number() }), { maxItems: 10_000 }),
});

/** A histogram without labels. */
export const histogramMetricSchema = Type.Object({
  name: nameSchema,
  help: helpSchema,
  type: Type.Literal('histogram'),
  /** Upper bounds, ascending. */
  bounds: Type.Array(Type.Number(), { maxItems: 100 }),
  /** Cumulative counts, one more than bounds: the last is +Inf. */
  counts: Type.Array(Type.Number({ minimum: 0 }), { maxItems: 101 }),
  sum: Type.Number(),
});

export type ValuedMetric = Static<typeof valuedMetricSchema>;
export type HistogramMetric = Static<typeof histogramMetricSchema>;
export const metricSchema = Type.Union([valuedMetricSchema, histogramMetricSchema]);
export type Metric = Static<typeof metricSchema>;

export const metricsSchema = Type.Object({
  service: Type.Enum(SERVICE_NAMES),
  as_of: timeSchema,
  metrics: Type.Array(metricSchema, { maxItems: 1000 }),
});
export type MetricsMessage = Static<typeof metricsSchema>;

/** Parses a metrics message; never throws. */
export const parseMetrics = parserOf(metricsSchema);
