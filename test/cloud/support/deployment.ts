/** Deploys the template into moto's server, and reads what its APIs report. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
export const TEMPLATE = at('../../../cloud/template.yaml');

interface Statement {
  Effect: string;
  Action: string | string[];
  Resource: string | string[];
}
interface Policy {
  Statement: Statement[];
}
export interface Deployment {
  outputs: Record<string, string>;
  stream: { StreamStatus: string; OpenShardCount: number; RetentionPeriodHours: number };
  gatewayPolicy: Policy;
  delivery?: {
    DeliveryStreamType: string;
    Source: { KinesisStreamSourceDescription: { KinesisStreamARN: string } };
    Destinations: { ExtendedS3DestinationDescription: Record<string, unknown> }[];
  };
  mappings?: Record<string, unknown>[];
  queue?: Record<string, string>;
  alarms: {
    AlarmName: string;
    Namespace: string;
    MetricName: string;
    Dimensions: { Name: string; Value: string }[];
    AlarmActions: string[];
    TreatMissingData: string;
    EvaluationPeriods: number;
    Threshold: number;
    ComparisonOperator: string;
  }[];
  /** Names of the delivery streams. */
  deliveries: string[];
  subscriptions: { Protocol: string; Endpoint: string; TopicArn: string }[];
  /** Environment of the consumer. */
  variables?: Record<string, string>;
  /** Environment of the watch. */
  watchVariables?: Record<string, string>;
  /** The types of all created resources, and of those that moto's CloudFormation does not create. */
  types: string[];
  byApi: string[];
}

/** `parameters`: of the template. */
export async function deploy(
  python: string,
  endpoint: string,
  region: string,
  parameters: Record<string, string>,
): Promise<Deployment> {
  const given = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  const { stdout } = await run(python, [at('deploy_template.py'), endpoint, region, TEMPLATE, ...given], {
    maxBuffer: 16 * 1024 * 1024,
  });
  return JSON.parse(stdout) as Deployment;
}

/** Python that creates a bucket `code` and puts a file into it: endpoint, file, key. */
export const UPLOAD = `
import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.create_bucket(Bucket='code')
s3.upload_file(sys.argv[2], 'code', sys.argv[3])
`;
