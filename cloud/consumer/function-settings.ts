/** What the template tells the functions, as variables of their environment. */

export interface FunctionSettings {
  /** The stream whose gateways are reported as metrics; undefined: none are (GatewayMetrics=false). */
  metricsStream: string | undefined;
  /** The table of last-seen, and after which time without account records a gateway is silent; undefined without GatewaySilenceMinutes. */
  lastSeen: { table: string; silenceMs: number } | undefined;
  /** The stream, for the metrics of the watch. */
  stream: string;
}

const MS_PER_MINUTE = 60_000;

export function functionSettings(): FunctionSettings {
  const { METRICS_STREAM = '', LAST_SEEN_TABLE = '', SILENCE_MINUTES = '', STREAM_NAME = '' } = process.env;
  return {
    metricsStream: METRICS_STREAM === '' ? undefined : METRICS_STREAM,
    lastSeen: LAST_SEEN_TABLE === '' ? undefined : { table: LAST_SEEN_TABLE, silenceMs: Number(SILENCE_MINUTES) * MS_PER_MINUTE },
    stream: STREAM_NAME,
  };
}
