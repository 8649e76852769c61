/** A real local stream for tests, with fault injection. */
import { after, type TestContext } from 'node:test';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { LocalKinesisService } from '../../local-kinesis/service.ts';
import type { FaultSettings } from '../../contract/fault-settings.ts';
import { clientOf, readAll, type StreamReading } from '../system/pipeline/support/stream.ts';
import { tempDir } from './temp-dir.ts';
import { testConfig, testLog } from './test-config.ts';

export interface LocalStream {
  port: number;
  endpoint: string;
  client: KinesisClient;
  readAll(): Promise<StreamReading[]>;
  /** Replaces the injected faults; `{}` removes them. */
  faults(settings: FaultSettings): Promise<void>;
  stop(): Promise<void>;
}

export async function startLocalStream(
  t: Pick<TestContext, 'after'>,
  environment: Record<string, string> = {},
): Promise<LocalStream> {
  const config = testConfig({ DATA_DIR: tempDir(t), LOCAL_KINESIS_FAULTS: 'true', ...environment });
  const service = new LocalKinesisService({
    config,
    log: testLog(config),
    onFatal: (error) => {
      throw error;
    },
  });
  await service.start();
  const endpoint = `http://127.0.0.1:${service.port}`;
  const client = clientOf(endpoint);
  t.after(async () => {
    client.destroy();
    await service.stop();
  });
  return {
    port: service.port,
    endpoint,
    client,
    readAll: async () => await readAll(endpoint, config.KINESIS_STREAM),
    async faults(settings) {
      const answer = await fetch(`${endpoint}/control/faults`, { method: 'POST', body: JSON.stringify(settings) });
      if (!answer.ok) throw new Error(await answer.text());
    },
    stop: async () => await service.stop(),
  };
}

/**
 * The stream of a test file, without limits per second, created at its first use. Call it outside of tests: it ends with the file or with
 * the `describe` around it.
 */
export function sharedStream(environment: Record<string, string> = {}): () => Promise<LocalStream> {
  const cleanups: (() => unknown)[] = [];
  let stream: Promise<LocalStream> | undefined;
  after(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });
  return async () =>
    await (stream ??= startLocalStream(
      { after: (cleanup) => void cleanups.push(cleanup as () => unknown) },
      { LOCAL_KINESIS_LIMITS: 'false', ...environment },
    ));
}
