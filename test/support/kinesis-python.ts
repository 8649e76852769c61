/** The Python side of Kinesis tests and benches: an independent de-aggregator, and the SDK of the script that this product replaces. */
import { pythonWith } from './python-venv.ts';

/** protobuf is pinned because aws_kinesis_agg contains code that an old version generated. */
const PACKAGES = ['boto3==1.44.8', 'aws_kinesis_agg==1.2.3', 'protobuf==3.20.3'];

/** A Python with boto3 and aws_kinesis_agg, or undefined if it cannot be installed (the reason is printed). */
export async function kinesisPython(): Promise<string | undefined> {
  return await pythonWith('kinesis', PACKAGES);
}
