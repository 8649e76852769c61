/** Readings as the stream holds them. */

/** A reading of a strap at `front-desk`, one per second. */
export const readingLine = (run: string, seq: number, more: object = {}): Record<string, unknown> => ({
  timestamp: new Date(Date.parse('2026-11-22T19:00:00.000Z') + seq).toISOString(),
  heart_rate: 60 + (seq % 100),
  device: 'polar-h10-a1b2c3',
  gateway: 'front-desk',
  run,
  seq,
  rr_intervals_ms: [812.5, 830.1],
  sensor_contact: true,
  energy_expended_kj: null,
  clock: 'synced',
  ...more,
});
