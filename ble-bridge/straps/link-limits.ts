/** Timeouts and intervals of a link. */
export interface LinkLimits {
  discoverMs: number;
  subscribeMs: number;
  /** Reads and writes of a single value. */
  requestMs: number;
  disconnectMs: number;
  /** Without a valid notification for this long a strap is silent. */
  silenceMs: number;
  backoffMinMs: number;
  backoffMaxMs: number;
  /** Interval for reading the battery level, if it does not notify, and the signal strength. */
  batteryMs: number;
  rssiMs: number;
}

export const DEFAULT_LIMITS: LinkLimits = {
  discoverMs: 10_000,
  subscribeMs: 5000,
  requestMs: 5000,
  disconnectMs: 2000,
  silenceMs: 10_000,
  backoffMinMs: 500,
  backoffMaxMs: 60_000,
  batteryMs: 600_000,
  rssiMs: 30_000,
};
