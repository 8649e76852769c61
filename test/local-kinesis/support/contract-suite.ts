/** Holds emulators to the laws of the contract; what an emulator is known to do otherwise stands here by name. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { laws } from './contract.ts';
import { rateLaws } from './rate-laws.ts';
import { emulators, type Emulator } from './emulators.ts';
import { cannotRun } from '../../support/cannot-run.ts';

const NO_RATES = Object.fromEntries(Object.keys(rateLaws).map((law) => [law, 'no limits a second']));

/** Known deviations of emulators from AWS' documentation, by law. The local stream has none. */
const differences: Readonly<Record<keyof typeof emulators, Readonly<Record<string, string>>>> = {
  'local stream': {},
  moto: {
    ...NO_RATES,
    'a record above 1 MiB with its key is refused, one of 1 MiB with its key is accepted': 'the key does not count',
    'over 1,000 records a second a shard fail one by one inside a 200': 'no limits a second',
    'missing or invalid arguments are errors with the names of Kinesis': 'a wrong iterator is an HTML page with status 500',
    'shards are listed in pages': "the token is refused without the first request's parameters, which the API forbids beside it",
    'a split closes its shard and opens two halves; a closed shard is read to its end, which names its children':
      'a closed shard never ends',
    'UpdateShardCount doubles and halves at most, and covers all hash keys evenly': 'any count is accepted',
    'UpdateMaxRecordSize lets larger records in': 'not there',
    'each type of ShardFilter selects its shards': 'the filter is ignored',
    'a ShardFilter needs the members of its type, and takes no others': 'the filter is ignored',
    'a token names its stream alone, and only tokens that were issued are taken': 'a name beside a token is accepted',
    'a stream is named by its ARN, and not by two names': 'an ARN beside another name is ignored',
    'an iterator needs what its type begins at, and takes nothing else': 'what does not belong to the type is ignored',
    'DescribeStream returns at most 100 shards, ListShards at most 1,000': 'a larger limit is accepted',
    'a stream that asks for what is not there is not created': 'a provisioned stream needs no number of shards',
  },
  'kinesis-local': {
    ...NO_RATES,
    'more than 500 records in a request are refused': 'any number is accepted',
    'a record above 1 MiB with its key is refused, one of 1 MiB with its key is accepted': 'the key does not count',
    'a request above 5 MiB is refused': 'any size is accepted',
    'over 1,000 records a second a shard fail one by one inside a 200': 'no limits a second',
    'missing or invalid arguments are errors with the names of Kinesis': 'a wrong iterator is an error without a name',
    'each type of ShardFilter selects its shards': 'AT_TRIM_HORIZON returns all shards',
    'a ShardFilter needs the members of its type, and takes no others': 'members of other types are ignored',
    'a stream is named by its ARN, and not by two names': 'an ARN beside another name is ignored',
    'an iterator needs what its type begins at, and takes nothing else': 'what does not belong to the type is ignored',
    'DescribeStream returns at most 100 shards, ListShards at most 1,000': 'an account has 50 shards',
    'a stream that asks for what is not there is not created': 'a provisioned stream needs no number of shards',
  },
};

/** `known`: also checks the known deviations; one that no longer exists must be removed from the list. */
export function contractSuite({ known }: { known: boolean }): void {
  for (const [name, differs] of Object.entries(differences))
    describe(name, () => {
      const cleanups: (() => unknown)[] = [];
      let emulator: Emulator | undefined;
      before(async () => {
        emulator = await emulators[name as keyof typeof emulators]({
          after: (cleanup) => void cleanups.push(cleanup as () => unknown),
        });
      });
      after(async () => {
        for (const cleanup of cleanups.toReversed()) await cleanup();
      });

      for (const [law, holds] of Object.entries(laws)) {
        const difference = differs[law];
        if (difference !== undefined && !known) continue;
        test(difference === undefined ? law : `differs (${difference}): ${law}`, async (t) => {
          if (emulator === undefined) return cannotRun(t, `${name} cannot run here`);
          const { client } = emulator;
          if (difference === undefined) await holds(client);
          else await assert.rejects(holds(client));
        });
      }
    });
}
