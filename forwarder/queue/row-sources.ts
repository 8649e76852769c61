/** Where a reading came from: a real strap, or a source whose readings are only shipped to a local target. */
export const ROW_SOURCES = ['real', 'simulated', 'replay'] as const;
export type RowSource = (typeof ROW_SOURCES)[number];

/** Index into ROW_SOURCES of a reading's `source`. */
export function sourceIndex(source: string | undefined): number {
  return Math.max(
    0,
    ROW_SOURCES.findIndex((name) => name === source),
  );
}
