/** Which shards ListShards returns: the types of a ShardFilter. */
import { invalidArgument } from './kinesis-error.ts';
import { shardIdOf, type ShardRow } from './shards.ts';

export interface ShardFilter {
  readonly Type: 'AFTER_SHARD_ID' | 'AT_TRIM_HORIZON' | 'FROM_TRIM_HORIZON' | 'AT_LATEST' | 'AT_TIMESTAMP' | 'FROM_TIMESTAMP';
  readonly ShardId?: string | undefined;
  /** ms since the epoch. */
  readonly Timestamp?: number | undefined;
}

/** Throws InvalidArgumentException for a member that this type does not allow, or lacks. */
export function checkFilter({ Type, ShardId, Timestamp }: ShardFilter): void {
  if ((Type === 'AFTER_SHARD_ID') !== (ShardId !== undefined))
    throw invalidArgument(`ShardFilter.ShardId must be specified with type AFTER_SHARD_ID, and with no other. Type: ${Type}.`);
  const isTimed = Type === 'AT_TIMESTAMP' || Type === 'FROM_TIMESTAMP';
  if (isTimed !== (Timestamp !== undefined))
    throw invalidArgument(
      `ShardFilter.Timestamp must be specified with types AT_TIMESTAMP and FROM_TIMESTAMP, and with no other. Type: ${Type}.`,
    );
}

/** The shards that were open at a record id. */
function openAtId(shards: readonly ShardRow[], id: number): ShardRow[] {
  const first = shards.reduce((least, shard) => Math.min(least, shard.first_id), Infinity);
  const at = Math.max(id, first);
  return shards.filter((shard) => shard.first_id <= at && (shard.last_id === null || shard.last_id >= at));
}

/**
 * The shards that a filter selects. `horizonId`: records with a lower id are expired, and closed shards that end before it are not in
 * `shards`. A time before the trim horizon is corrected to it.
 */
export function selectShards(shards: readonly ShardRow[], filter: ShardFilter, horizonId: number): readonly ShardRow[] {
  const { Type, ShardId = '', Timestamp: ms = 0 } = filter;
  switch (Type) {
    case 'AFTER_SHARD_ID':
      return shards.filter(({ number }) => shardIdOf(number) > ShardId);
    case 'FROM_TRIM_HORIZON':
      return shards;
    case 'AT_TRIM_HORIZON':
      return openAtId(shards, horizonId);
    case 'AT_LATEST':
      return shards.filter(({ last_id }) => last_id === null);
    case 'AT_TIMESTAMP': {
      const atHorizon = openAtId(shards, horizonId);
      if (atHorizon.some(({ created_ms }) => created_ms > ms)) return atHorizon;
      return shards.filter(({ created_ms, closed_ms }) => created_ms <= ms && (closed_ms === null || closed_ms >= ms));
    }
    case 'FROM_TIMESTAMP':
      return shards.filter(({ closed_ms }) => closed_ms === null || closed_ms >= ms);
  }
}
