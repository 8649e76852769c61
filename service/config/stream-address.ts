/** KINESIS_STREAM: the name of a stream, or its ARN, which also says in which account and region it is. */

const NAME = '[a-zA-Z0-9_.-]{1,128}';
const ARN = new RegExp(`^arn:(aws[a-z-]*):kinesis:([a-z0-9-]{1,63}):(\\d{12}):stream/(${NAME})$`);

/** What KINESIS_STREAM may be. */
export const STREAM_ADDRESS = new RegExp(`^${NAME}$|${ARN.source}`);

export interface StreamAddress {
  name: string;
  /** Undefined if only the name is given: the stream is one of the account whose credentials are used. */
  arn: string | undefined;
  /** Of the ARN. */
  region: string | undefined;
}

/** Takes a valid value of KINESIS_STREAM apart. */
export function streamAddress(text: string): StreamAddress {
  const [arn, , region, , name] = ARN.exec(text) ?? [];
  return { name: name ?? text, arn, region };
}

interface StreamSettings {
  KINESIS_STREAM: string;
  KINESIS_TARGET: string;
}

/** What kind of target KINESIS_TARGET is. */
export const targetOf = ({ KINESIS_TARGET: target }: Pick<StreamSettings, 'KINESIS_TARGET'>): 'local' | 'aws' | 'endpoint' =>
  target === 'local' || target === 'aws' ? target : 'endpoint';

/** The stream as the target knows it. The local stream has one account and one region, so an ARN stands for the name in it. */
export function targetStream({ KINESIS_STREAM, KINESIS_TARGET }: StreamSettings): string {
  return KINESIS_TARGET === 'local' ? streamAddress(KINESIS_STREAM).name : KINESIS_STREAM;
}

/** The member of a Kinesis request that says which stream is meant. */
export function streamOf(config: StreamSettings): { StreamName: string } | { StreamARN: string } {
  const stream = targetStream(config);
  return stream.startsWith('arn:') ? { StreamARN: stream } : { StreamName: stream };
}
