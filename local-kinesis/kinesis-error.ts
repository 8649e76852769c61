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

export const invalidArgument = (message: string): KinesisError => new KinesisError('InvalidArgumentException', message);
export const validation = (message: string): KinesisError => new KinesisError('ValidationException', message);
export const notFound = (stream: string): KinesisError =>
  new KinesisError('ResourceNotFoundException', `Stream ${stream} under account 000000000000 not found.`);
export const inUse = (message: string): KinesisError => new KinesisError('ResourceInUseException', message);
export const throttled = (message: string): KinesisError => new KinesisError('ProvisionedThroughputExceededException', message);
