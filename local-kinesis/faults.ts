/** Seeded faults on request, for tests and drills: failures of the network and of the service. Off unless LOCAL_KINESIS_FAULTS is true. */
import { parseFaultSettings, type FaultSettings, type RequestFault } from '../contract/fault-settings.ts';
import { KinesisError, validation } from './kinesis-error.ts';
import { requests } from './wire/requests.ts';
import { readInput } from './wire/fields.ts';
import type { Wire } from './wire/wire.ts';

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

export class Faults {
  #settings: FaultSettings = {};
  #random = randomOf(1);
  #left = Number.POSITIVE_INFINITY;

  /** Replaces all faults by those of a JSON text; `{}` ends them. Throws ValidationException. */
  set(text: string): void {
    const parsed = parseFaultSettings(text);
    if (!parsed.ok) throw validation(parsed.reason);
    this.#settings = parsed.value;
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
  requestFault(): RequestFault | undefined {
    const { request, requestRate = 1 } = this.#settings;
    if (request === undefined || this.#left <= 0 || this.#random() >= requestRate) return undefined;
    this.#left -= 1;
    return request;
  }

  /** The failure of one record inside a 200, or undefined. `shard`: number of its shard. */
  recordFault(partitionKey: string, shard: number): { ErrorCode: string; ErrorMessage: string } | undefined {
    const { throttleRate = 0, recordFailureRate = 0, keys, shard: failing = shard } = this.#settings;
    if (shard !== failing || keys?.includes(partitionKey) === false) return undefined;
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

/** Whether a record of a PutRecords request contains the word `poison`; false for what is no such request. */
export function hasPoison(request: unknown, wire: Wire): boolean {
  try {
    return readInput(requests.PutRecords, request, wire).Records.some(({ Data }) => Data.includes('poison'));
  } catch {
    return false;
  }
}
