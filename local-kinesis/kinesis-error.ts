/** An error as Kinesis returns it: `__type`, message and HTTP status. */
export class KinesisError extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

export const ACCOUNT = '000000000000';

export const invalidArgument = (message: string): KinesisError => new KinesisError('InvalidArgumentException', message);
export const validation = (message: string): KinesisError => new KinesisError('ValidationException', message);
export const serialization = (message: string): KinesisError => new KinesisError('SerializationException', message);
export const notFound = (stream: string): KinesisError =>
  new KinesisError('ResourceNotFoundException', `Stream ${stream} under account ${ACCOUNT} not found.`);
export const noShard = (stream: string, shardId: string): KinesisError =>
  new KinesisError('ResourceNotFoundException', `Shard ${shardId} in stream ${stream} under account ${ACCOUNT} does not exist`);
export const inUse = (message: string): KinesisError => new KinesisError('ResourceInUseException', message);
export const limitExceeded = (message: string): KinesisError => new KinesisError('LimitExceededException', message);
export const throttled = (message: string): KinesisError => new KinesisError('ProvisionedThroughputExceededException', message);
/** A request that would have succeeded, but asked with DryRun that nothing is done. */
export const dryRun = (): KinesisError =>
  new KinesisError('DryRunOperationException', 'The request would have succeeded, but the DryRun parameter was specified.');
