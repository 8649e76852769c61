import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { deaggregate } from '../../cloud/aggregation.ts';

interface KplRecord {
  partitionKey: string;
  explicitHashKey?: string;
  data: Buffer;
}
/** AWS' own implementation of the format; its types need a package that is not installed. */
const { RecordAggregator } = createRequire(import.meta.url)('aws-kinesis-agg') as {
  RecordAggregator: new () => { addUserRecord(record: KplRecord): void; build(): { partitionKey: string; data: Buffer } };
};

function aggregateByAws(records: readonly KplRecord[]): { partitionKey: string; data: Buffer } {
  const aggregator = new RecordAggregator();
  for (const record of records) aggregator.addUserRecord(record);
  return aggregator.build();
}

const record = fc.record({
  // No bare numbers: that library keeps its key table in an object, which puts those first, and so mixes the keys up.
  partitionKey: fc.string({ maxLength: 40 }).map((text) => `k${text}`),
  explicitHashKey: fc.option(fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }).map(String), { nil: undefined }),
  data: fc.uint8Array({ minLength: 0, maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
});

test("aggregates of AWS' own library, with many keys and hash keys, are split into the same records in the same order", () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 50 }), (records) => {
      const given = records.map(({ partitionKey, explicitHashKey, data }) => ({
        partitionKey,
        data,
        ...(explicitHashKey === undefined ? {} : { explicitHashKey }),
      }));
      const { partitionKey, data } = aggregateByAws(given);
      assert.deepEqual(
        deaggregate(partitionKey, data),
        records.map((each) => ({ partitionKey: each.partitionKey, data: each.data })),
      );
    }),
  );
});

test('an aggregate with a changed or missing byte, and any other data, is returned as one record', () => {
  const given = Array.from({ length: 5 }, (_, index) => ({
    partitionKey: 'tickr-123456',
    data: Buffer.from(`{"seq":${index}}\n`),
  }));
  const { data } = aggregateByAws(given);
  assert.equal(deaggregate('k', data).length, 5);
  fc.assert(
    fc.property(fc.nat(data.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, change, cut) => {
      const changed = cut ? Buffer.concat([data.subarray(0, at), data.subarray(at + 1)]) : Buffer.from(data);
      if (!cut) changed.writeUInt8(changed.readUInt8(at) ^ change, at);
      assert.deepEqual(deaggregate('k', changed), [{ partitionKey: 'k', data: changed }]);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const any = Buffer.from(bytes);
      assert.deepEqual(deaggregate('k', any), [{ partitionKey: 'k', data: any }]);
    }),
  );
});
