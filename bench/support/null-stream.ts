/**
 * A Kinesis endpoint that stores nothing, in a separate process, for benchmarks that measure the product and not the stream. Responds to
 * PutRecords and PutRecord with success, at once or after LATENCY_MS. Counts requests, records, the readings in them (a KPL aggregate
 * contains many), bytes and PUT units; GET / returns the counts.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const latencyMs = Number(process.env['LATENCY_MS'] ?? 0);
const UNIT_BYTES = 25 * 1024;
const counts = { requests: 0, records: 0, readings: 0, bytes: 0, units: 0 };
/** The first bytes of an aggregate in base64: the magic number F3 89 9A C2 (KPL aggregated record format). */
const AGGREGATE = '84mawg';
const MAGIC_BYTES = 4;
const MD5_BYTES = 16;
const OUTCOME = '{"SequenceNumber":"49600000000000000000000000000000000000000000000000000001","ShardId":"shardId-000000000000"}';
const answers = new Map<number, string>();

function answerTo(records: number): string {
  let answer = answers.get(records);
  if (answer === undefined)
    answers.set(
      records,
      (answer = `{"FailedRecordCount":0,"Records":[${Array.from({ length: records }, () => OUTCOME).join(',')}]}`),
    );
  return answer;
}

/** The number of user records in an aggregate: fields with number 3 in its protobuf message. */
function readingsIn(aggregate: Buffer): number {
  const message = aggregate.subarray(MAGIC_BYTES, aggregate.length - MD5_BYTES);
  let readings = 0;
  for (let at = 0; at < message.length;) {
    if ((message[at] ?? 0) >> 3 === 3) readings += 1;
    let length = 0;
    let shift = 1;
    for (;;) {
      at += 1;
      const byte = message[at] ?? 0;
      length += (byte & 0x7f) * shift;
      shift *= 128;
      if (byte < 0x80) break;
    }
    at += 1 + length;
  }
  return readings;
}

/** Counts the records of a request by the text in front of each record's data; base64 needs no unescaping. */
function count(body: string): number {
  let records = 0;
  for (let at = body.indexOf('"Data":"'); at >= 0;) {
    const end = body.indexOf('"', at + 8);
    const bytes = ((end - at - 8) * 3) / 4;
    counts.bytes += bytes;
    counts.units += Math.max(1, Math.ceil(bytes / UNIT_BYTES));
    counts.readings += body.startsWith(AGGREGATE, at + 8) ? readingsIn(Buffer.from(body.slice(at + 8, end), 'base64')) : 1;
    records += 1;
    at = body.indexOf('"Data":"', end);
  }
  counts.records += records;
  return records;
}

const server = createServer((request, response) => {
  if (request.method === 'GET') return void response.end(JSON.stringify(counts));
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const target = String(request.headers['x-amz-target']).split('.')[1];
    const body = Buffer.concat(chunks).toString('latin1');
    let text = '{}';
    if (target === 'PutRecords') text = answerTo(count(body));
    else if (target === 'PutRecord') {
      count(body);
      text = OUTCOME;
    } else if (target === 'DescribeStreamSummary')
      text = '{"StreamDescriptionSummary":{"StreamName":"bench","StreamStatus":"ACTIVE"}}';
    if (target === 'PutRecords' || target === 'PutRecord') counts.requests += 1;
    const answer = (): void => {
      response.writeHead(200, {
        'Content-Type': 'application/x-amz-json-1.1',
        'Content-Length': text.length,
        'x-amzn-RequestId': '0',
      });
      response.end(text);
    };
    if (latencyMs > 0) setTimeout(answer, latencyMs);
    else answer();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () =>
  console.log(JSON.stringify({ event: 'listening', port: (server.address() as AddressInfo).port })),
);
process.on('SIGTERM', () => process.exit(0));
