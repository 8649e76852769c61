/** Seeded faults on request, for tests and drills: failures of the network and of the service. Off unless LOCAL_KINESIS_FAULTS is true. */
import { parseJson, validatorOf } from '../contract/validate.ts';
import { KinesisError, validation } from './kinesis-error.ts';

const faultsSchema = {
  $id: 'local-kinesis-faults',
  type: 'object',
  properties: {
    /** Delay of each answer. */
    latencyMs: { type: 'number', minimum: 0, maximum: 600_000 },
    /** Share of records that fail with ProvisionedThroughputExceededException, 0-1. */
    throttleRate: { type: 'number', minimum: 0, maximum: 1 },
    /** Share of records that fail with InternalFailure, 0-1. */
    recordFailureRate: { type: 'number', minimum: 0, maximum: 1 },
    /** How whole requests fail. */
    request: {
      enum: [
        'status500',
        'status503',
        'connectionReset',
        'halfBody',
        'stalledBody',
        'expiredToken',
        'accessDenied',
        'unrecognizedClient',
        'throttled',
        'kmsDisabled',
        'streamMissing',
        'clockSkew',
        'rejectPoison',
        'retryAfter',
        'notActive',
      ],
    },
    /** Share of requests that `request` applies to, 0-1 (default 1). */
    requestRate: { type: 'number', minimum: 0, maximum: 1 },
    /** How many requests `request` applies to before it ends (default: no limit). */
    count: { type: 'integer', minimum: 1 },
    /** How long connections are refused, from the answer to this request on. */
    refuseConnectionsMs: { type: 'integer', minimum: 1, maximum: 600_000 },
    /** Offset of the answers' Date header from the box's clock. */
    clockOffsetMs: { type: 'number' },
    seed: { type: 'integer' },
  },
  additionalProperties: false,
} as const;
const checkFaults = validatorOf(faultsSchema);

/** mulberry32: a small generator that repeats for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface FaultSettings {
  latencyMs?: number;
  throttleRate?: number;
  recordFailureRate?: number;
  request?: string;
  requestRate?: number;
  count?: number;
  refuseConnectionsMs?: number;
  clockOffsetMs?: number;
  seed?: number;
}

export class Faults {
  #settings: FaultSettings = {};
  #random = randomOf(1);
  #left = Number.POSITIVE_INFINITY;

  /** Replaces all faults by those of a JSON text; `{}` ends them. Throws ValidationException. */
  set(text: string): void {
    const parsed = parseJson(text, checkFaults);
    if (!parsed.ok) throw validation(parsed.reason);
    this.#settings = parsed.value as FaultSettings;
    this.#random = randomOf(this.#settings.seed ?? 1);
    this.#left = this.#settings.count ?? Number.POSITIVE_INFINITY;
  }

  get latencyMs(): number {
    return this.#settings.latencyMs ?? 0;
  }

  get refuseConnectionsMs(): number {
    return this.#settings.refuseConnectionsMs ?? 0;
  }

  get clockOffsetMs(): number {
    return this.#settings.clockOffsetMs ?? 0;
  }

  /** The fault of this whole request, or undefined. */
  requestFault(): string | undefined {
    const { request, requestRate = 1 } = this.#settings;
    if (request === undefined || this.#left <= 0 || this.#random() >= requestRate) return undefined;
    this.#left -= 1;
    return request;
  }

  /** The failure of one record inside a 200, or undefined. */
  recordFault(): { ErrorCode: string; ErrorMessage: string } | undefined {
    const { throttleRate = 0, recordFailureRate = 0 } = this.#settings;
    if (throttleRate > 0 && this.#random() < throttleRate)
      return { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded for shard (injected).' };
    if (recordFailureRate > 0 && this.#random() < recordFailureRate)
      return { ErrorCode: 'InternalFailure', ErrorMessage: 'Internal service failure.' };
    return undefined;
  }
}

/** The Kinesis error that a whole-request fault is answered with, or undefined if it is a fault of the network. */
export function errorOfFault(fault: string): KinesisError | undefined {
  switch (fault) {
    case 'status500':
      return new KinesisError('InternalFailure', 'Internal service failure.', 500);
    case 'status503':
    case 'retryAfter':
      return new KinesisError('ServiceUnavailable', 'Service unavailable.', 503);
    case 'expiredToken':
      return new KinesisError('ExpiredTokenException', 'The security token included in the request is expired');
    case 'accessDenied':
      return new KinesisError('AccessDeniedException', 'User is not authorized to perform: kinesis:PutRecords');
    case 'unrecognizedClient':
      return new KinesisError('UnrecognizedClientException', 'The security token included in the request is invalid.');
    case 'throttled':
      return new KinesisError('ProvisionedThroughputExceededException', 'Rate exceeded.');
    case 'kmsDisabled':
      return new KinesisError('KMSDisabledException', 'The CMK is disabled.');
    case 'streamMissing':
      return new KinesisError('ResourceNotFoundException', 'Stream under account 000000000000 not found.');
    case 'clockSkew':
      return new KinesisError(
        'InvalidSignatureException',
        'Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z (20200101T001000Z - 5 min.)',
      );
    case 'notActive':
      return new KinesisError('ResourceInUseException', 'Stream is not ACTIVE: CREATING.');
    default:
      return undefined;
  }
}
