import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test, type TestContext } from 'node:test';
import { CreateStreamCommand, KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { targetName } from '../../../forwarder/sink/kinesis-sink.ts';
import { streamAddress } from '../../../service/config/stream-address.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { makeSigningAuthority } from '../../support/signed-certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { startAwsAtHome, type AwsAtHome } from './support/aws-at-home.ts';
import { failureOf, KEYS } from './support/one-request.ts';

const ARN = 'arn:aws:kinesis:eu-central-1:210987654321:stream/sink';
const STORED = JSON.stringify({ FailedRecordCount: 0, Records: [{ SequenceNumber: '1', ShardId: 'shardId-000000000000' }] });

test('KINESIS_STREAM is a name or an ARN, of any partition', () => {
  assert.deepEqual(streamAddress('hr-data-stream'), { name: 'hr-data-stream', arn: undefined, region: undefined });
  assert.deepEqual(streamAddress(ARN), { name: 'sink', arn: ARN, region: 'eu-central-1' });
  assert.equal(streamAddress('arn:aws-us-gov:kinesis:us-gov-west-1:210987654321:stream/a.b').region, 'us-gov-west-1');
  for (const wrong of [
    'a/b',
    'arn:aws:kinesis:eu-west-1:1234:stream/sink',
    'arn:aws:kinesis:eu-west-1:210987654321:table/sink',
    'arn:aws:s3:eu-west-1:210987654321:stream/sink',
    `${ARN}/consumer/x:1`,
    'x'.repeat(129),
  ])
    assert.throws(() => testConfig({ KINESIS_STREAM: wrong }), /KINESIS_STREAM: must be .*ARN/, wrong);
});

describe('a stream of another account, by its ARN', () => {
  async function aws(t: TestContext): Promise<{ home: AwsAtHome; variables: Record<string, string> }> {
    const authority = makeSigningAuthority(tempDir(t));
    const home = await startAwsAtHome(t, {
      certificate: authority.sign({
        names: ['DNS:*.data-kinesis.eu-central-1.amazonaws.com', 'DNS:210987654321.data-kinesis.eu-central-1.amazonaws.com'],
      }),
      answer: (_, response) => {
        response.setHeader('content-type', 'application/x-amz-json-1.1');
        response.end(STORED);
        return true;
      },
    });
    return { home, variables: { ...KEYS, HTTPS_PROXY: home.proxyUrl, AWS_CA_BUNDLE: authority.caFile } };
  }

  test("requests name the ARN, and go to the ARN's account and region, whatever AWS_REGION says", async (t) => {
    for (const AWS_REGION of [undefined, 'us-east-1', 'eu-central-1']) {
      const { home, variables } = await aws(t);
      const failure = await failureOf({ KINESIS_TARGET: 'aws', KINESIS_STREAM: ARN }, { ...variables, AWS_REGION });
      assert.equal(failure, undefined, JSON.stringify(failure));
      assert.deepEqual(home.tunnels, ['210987654321.data-kinesis.eu-central-1.amazonaws.com:443']);
      const [request] = home.requests;
      const { StreamARN, StreamName } = JSON.parse(request?.body ?? '{}') as Record<string, unknown>;
      assert.deepEqual([StreamARN, StreamName], [ARN, undefined]);
      assert.match(String(request?.headers.authorization), /\/eu-central-1\/kinesis\//);
    }
  });

  test('an endpoint of its own gets the ARN; the local stream, which has one account, its name', async (t) => {
    const stream = await startLocalStream(t);
    await stream.client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 1 }));
    const own = 'arn:aws:kinesis:us-east-1:000000000000:stream/sink';
    assert.equal(
      await failureOf({ KINESIS_TARGET: stream.endpoint, KINESIS_STREAM: own }, { ...KEYS, AWS_REGION: 'us-east-1' }),
      undefined,
    );
    const foreign = await failureOf({ KINESIS_TARGET: stream.endpoint, KINESIS_STREAM: ARN }, KEYS);
    assert.equal(foreign?.state, 'stream_missing', JSON.stringify(foreign));
    assert.equal(await failureOf({ LOCAL_KINESIS_PORT: String(stream.port), KINESIS_STREAM: ARN }, {}), undefined);
  });
});

describe('over IPv6', () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'));

  test('the local stream, an http endpoint and an https endpoint on ::1 are reached', async (t) => {
    if (!hasIpv6) return cannotRun(t, 'no IPv6 on loopback');
    const stream = await startLocalStream(t, { LOCAL_KINESIS_HOST: '::1' });
    const endpoint = `http://[::1]:${stream.port}`;
    const client = new KinesisClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      requestHandler: new NodeHttpHandler(),
    });
    t.after(() => client.destroy());
    await client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 1 }));
    const local = { LOCAL_KINESIS_HOST: '::1', LOCAL_KINESIS_PORT: String(stream.port) };
    assert.equal(await failureOf(local, {}), undefined);
    assert.equal(targetName(testConfig(local)), `local stream on [::1]:${stream.port}`);
    assert.equal(await failureOf({ KINESIS_TARGET: endpoint }, KEYS), undefined);
    // Through a proxy only if NO_PROXY does not name the address.
    const dead = { HTTP_PROXY: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9' };
    assert.equal((await failureOf({ KINESIS_TARGET: endpoint }, { ...KEYS, ...dead }))?.state, 'unreachable');
    for (const NO_PROXY of ['::1', '[::1]', '::/0', `[::1]:${stream.port}`])
      assert.equal(await failureOf({ KINESIS_TARGET: endpoint }, { ...KEYS, ...dead, NO_PROXY }), undefined, NO_PROXY);
    const authority = makeSigningAuthority(tempDir(t));
    const home = await startAwsAtHome(t, { certificate: authority.sign({ names: ['IP:::1'] }), stream: endpoint, host: '::1' });
    assert.equal(await failureOf({ KINESIS_TARGET: home.url }, { ...KEYS, AWS_CA_BUNDLE: authority.caFile }), undefined);
  });
});
