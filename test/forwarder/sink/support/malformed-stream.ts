/** A real HTTP server in the stream's place that answers PutRecords as a test plans it, well or badly. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';

/** One result of an answer: stored, failed, neither field, or both of them. */
const RESULTS = ['stored', 'failed', 'neither', 'both', 'number', 'null'] as const;
type Result = (typeof RESULTS)[number];

const BODIES = [
  'html',
  'redirect',
  'gzip',
  'empty',
  'null',
  'list',
  'text',
  'cut',
  'object',
  'no_results',
  'reset',
  'other_json',
] as const;

/** What the server answers to one request. */
export type Plan =
  | { kind: 'valid'; failed: readonly boolean[] }
  /** Results and their number, and the failed count, each as planned: possibly wrong. */
  | { kind: 'results'; results: readonly Result[]; extra: number; count: number | 'right' | 'missing' | 'text' }
  | { kind: (typeof BODIES)[number] };

/** Plans of which hardly any confirms a record. */
export const plans: fc.Arbitrary<Plan> = fc.oneof(
  fc.record({ kind: fc.constant('valid' as const), failed: fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }) }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('results' as const),
      results: fc.array(fc.oneof({ weight: 4, arbitrary: fc.constant('stored' as const) }, fc.constantFrom(...RESULTS)), {
        minLength: 1,
        maxLength: 7,
      }),
      extra: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: -5, max: 5 })),
      count: fc.oneof(
        { weight: 3, arbitrary: fc.constant('right' as const) },
        fc.constantFrom('missing' as const, 'text' as const),
        fc.integer({ min: -2, max: 8 }),
      ),
    }),
  },
  fc.constantFrom(...BODIES).map((kind) => ({ kind })),
);

interface StreamResult {
  SequenceNumber?: string | number | null;
  ShardId?: string;
  ErrorCode?: string | null;
  ErrorMessage?: string;
}

export interface MalformedStream {
  port: number;
  /** Sets the answers to the next requests; after them, `afterwards` answers. */
  plan(answers: readonly Plan[], afterwards?: Plan): void;
  /** The data of all records that a consistent answer confirmed. */
  confirmed: Set<string>;
  /** Number of requests so far. */
  requests(): number;
}

let nextSequence = 1n;
const stored = (): StreamResult => ({ SequenceNumber: `4966${(nextSequence += 1n)}`, ShardId: 'shardId-000000000000' });
const failed = (): StreamResult => ({ ErrorCode: 'InternalFailure', ErrorMessage: 'Internal service failure.' });

const RESULT_OF: Readonly<Record<Result, () => StreamResult | null>> = {
  stored,
  failed,
  neither: () => ({ ShardId: 'shardId-000000000000' }),
  both: () => ({ ...stored(), ...failed() }),
  number: () => ({ SequenceNumber: 4966, ShardId: 'shardId-000000000000' }),
  null: () => null,
};

const isStored = (result: StreamResult | null): boolean => typeof result?.SequenceNumber === 'string';

/** What the plan answers to `count` records, and which of them it confirms: none unless the answer is consistent. */
function resultsOf(plan: Extract<Plan, { kind: 'valid' | 'results' }>, count: number): { body: object; confirms: boolean[] } {
  if (plan.kind === 'valid') {
    const results = Array.from({ length: count }, (_, at) =>
      plan.failed[at % plan.failed.length] === true ? failed() : stored(),
    );
    const confirms = results.map(isStored);
    return { body: { FailedRecordCount: confirms.filter((one) => !one).length, Records: results }, confirms };
  }
  const length = Math.max(0, count + plan.extra);
  const kinds = Array.from({ length }, (_, at) => plan.results[at % plan.results.length] ?? 'stored');
  const right = kinds.filter((kind) => kind !== 'stored').length;
  const isConsistent =
    length === count &&
    kinds.every((kind) => kind === 'stored' || kind === 'failed') &&
    (plan.count === 'right' || plan.count === right);
  const failedCount = { right, missing: undefined, text: String(right) };
  return {
    body: {
      FailedRecordCount: typeof plan.count === 'number' ? plan.count : failedCount[plan.count],
      Records: kinds.map((kind) => RESULT_OF[kind]()),
    },
    confirms: Array.from({ length: count }, (_, at) => isConsistent && kinds[at] === 'stored'),
  };
}

const HTML = '<!DOCTYPE html><html><body>Please log in to this network.</body></html>';

function answerBody(plan: { kind: (typeof BODIES)[number] }, count: number, response: ServerResponse): void {
  const whole = JSON.stringify(resultsOf({ kind: 'valid', failed: [false] }, count).body);
  const json = (text: string | Buffer, headers: Record<string, string> = {}): void => {
    response.writeHead(200, { 'Content-Type': 'application/x-amz-json-1.1', ...headers });
    response.end(text);
  };
  switch (plan.kind) {
    case 'html':
      response.writeHead(200, { 'Content-Type': 'text/html' });
      return void response.end(HTML);
    case 'redirect':
      response.writeHead(302, { Location: 'http://127.0.0.1:9/login', 'Content-Type': 'application/x-amz-json-1.1' });
      return void response.end(whole);
    case 'gzip':
      return json(gzipSync(whole), { 'Content-Encoding': 'gzip' });
    case 'empty':
      return json('');
    case 'null':
      return json('null');
    case 'list':
      return json('[]');
    case 'text':
      return json('"ok"');
    case 'cut':
      return json(whole.slice(0, -2));
    case 'object':
      return json(JSON.stringify({ FailedRecordCount: 0, Records: { 0: stored(), length: count } }));
    case 'no_results':
      return json('{"FailedRecordCount":0}');
    case 'other_json':
      return json('{"__type":"ServiceUnavailable","message":"try later"}');
    case 'reset':
      return void response.socket?.resetAndDestroy();
  }
}

async function recordsOf(request: IncomingMessage): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const { Records } = JSON.parse(Buffer.concat(chunks).toString()) as { Records?: { Data: string }[] };
  return (Records ?? []).map(({ Data }) => Buffer.from(Data, 'base64').toString().trim());
}

/** Starts the server. It answers DescribeStreamSummary with an error, and PutRecords as planned. */
export async function startMalformedStream(t: Pick<TestContext, 'after'>): Promise<MalformedStream> {
  let answers: Plan[] = [];
  let rest: Plan = { kind: 'valid', failed: [false] };
  let requests = 0;
  const confirmed = new Set<string>();
  const server = createServer((request, response) => {
    const isPut = String(request.headers['x-amz-target']).endsWith('.PutRecords');
    void recordsOf(request).then((records) => {
      if (!isPut) {
        response.writeHead(400, { 'Content-Type': 'application/x-amz-json-1.1' });
        return response.end('{"__type":"LimitExceededException"}');
      }
      requests += 1;
      const plan = answers.shift() ?? rest;
      if (plan.kind !== 'valid' && plan.kind !== 'results') return answerBody(plan, records.length, response);
      const { body, confirms } = resultsOf(plan, records.length);
      for (const [at, data] of records.entries()) if (confirms[at] === true) confirmed.add(data);
      response.writeHead(200, { 'Content-Type': 'application/x-amz-json-1.1' });
      return response.end(JSON.stringify(body));
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    port: (server.address() as AddressInfo).port,
    confirmed,
    plan(given, afterwards = { kind: 'valid', failed: [false] }) {
      answers = [...given];
      rest = afterwards;
    },
    requests: () => requests,
  };
}
