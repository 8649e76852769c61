/** One request of a sink, with an environment that has no variable of AWS or of proxies but those that are given. */
import { KinesisSink } from '../../../../forwarder/sink/kinesis-sink.ts';
import { SinkError, type FailureClass } from '../../../../forwarder/sink/sink.ts';
import { SDK_VARIABLES } from '../../../../service/config/sdk-variables.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import { withEnvironment } from '../../drain/support/recording-proxy.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

const NOTHING: Variables = Object.fromEntries(
  Object.keys(SDK_VARIABLES).flatMap((name) => [
    [name, undefined],
    ...(name.endsWith('_PROXY') ? [[name.toLowerCase(), undefined] as const] : []),
  ]),
);

/** Keys that any emulator takes. */
export const KEYS = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE12345', AWS_SECRET_ACCESS_KEY: 'secret-of-the-test' };

/** The variables of a box that is not on EC2, and has no files of its own in a home directory. */
export const BOX: Variables = {
  ...NOTHING,
  AWS_REGION: 'eu-west-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/nonexistent/config',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/credentials',
};

/** Sends records, one after the other; the failure of the last, or undefined if it was stored. `settings`: of the forwarder. */
export async function failureOf(
  settings: Record<string, string>,
  variables: Variables,
  records = 1,
): Promise<FailureClass | undefined> {
  const restores: (() => void)[] = [];
  withEnvironment({ after: (restore) => void restores.push(restore as () => void) }, { ...BOX, ...variables });
  try {
    let failure: FailureClass | undefined;
    const sink = sinkOf(settings);
    for (let count = 0; count < records; count += 1) failure = await failureOfOne(sink);
    sink.close();
    return failure;
  } finally {
    for (const restore of restores.toReversed()) restore();
  }
}

function sinkOf(settings: Record<string, string>): KinesisSink {
  const config = testConfig({ KINESIS_STREAM: 'sink', ...settings });
  return new KinesisSink(config, testLog(config), { connectMs: 2000, requestMs: 5000, socketMs: 5000, wholeMs: 20_000 });
}

async function failureOfOne(sink: KinesisSink): Promise<FailureClass | undefined> {
  try {
    const { outcomes } = await sink.send([{ partitionKey: 'a', data: Buffer.from('{}\n') }], new AbortController().signal);
    return outcomes[0]?.ok === true ? undefined : { state: 'error', detail: JSON.stringify(outcomes), hint: '' };
  } catch (error) {
    if (error instanceof SinkError) return error.failure;
    throw error;
  }
}
