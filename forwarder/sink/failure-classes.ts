/** Every way in which a whole request fails, as an uplink state with its reason and what to do (design section 3). */
import type { FailureClass } from './sink.ts';

interface SdkError {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
  $response?: { headers?: Record<string, string> };
}

const CLOCK_SKEW: Omit<FailureClass, 'reason'> = {
  state: 'clock_skew',
  hint: 'Set the time of this box (timedatectl set-ntp true).',
};

const NAMED: readonly { names: readonly string[]; failure: Omit<FailureClass, 'reason'> }[] = [
  {
    names: [
      'ProvisionedThroughputExceededException',
      'LimitExceededException',
      'ThrottlingException',
      'RequestLimitExceeded',
      'TooManyRequestsException',
      'KMSThrottlingException',
    ],
    failure: {
      state: 'throttled',
      hint: 'Nothing to do: it is tried again slower. If it lasts, give the stream more shards, or use KINESIS_MODE=aggregated.',
    },
  },
  {
    names: ['ExpiredTokenException', 'ExpiredToken'],
    failure: {
      state: 'credentials_expired',
      hint: 'Renew the credentials; rotated ones are picked up by themselves.',
      rebuild: true,
    },
  },
  {
    names: ['CredentialsProviderError', 'TokenProviderError', 'ProviderError'],
    failure: {
      state: 'unauthorized',
      hint: 'Give credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role (docs/kinesis.md).',
      rebuild: true,
    },
  },
  {
    names: [
      'UnrecognizedClientException',
      'InvalidClientTokenId',
      'InvalidSignatureException',
      'IncompleteSignature',
      'MissingAuthenticationTokenException',
      'MissingAuthenticationToken',
      'InvalidAccessKeyId',
      'SignatureDoesNotMatch',
      'OptInRequired',
      'NotAuthorized',
    ],
    failure: { state: 'unauthorized', hint: 'The credentials are wrong: check key, secret and region.', rebuild: true },
  },
  {
    names: ['AccessDeniedException', 'AccessDenied'],
    failure: {
      state: 'unauthorized',
      hint: 'Allow kinesis:PutRecords, PutRecord, ListShards and DescribeStreamSummary on this stream.',
      rebuild: true,
    },
  },
  {
    names: ['ResourceNotFoundException'],
    failure: {
      state: 'stream_missing',
      hint: 'Make the stream (cloud/template.yaml), or correct KINESIS_STREAM and AWS_REGION. Readings wait in the queue.',
    },
  },
  { names: ['ResourceInUseException'], failure: { state: 'stream_not_active', hint: 'Wait until the stream is ACTIVE.' } },
  {
    names: [
      'KMSAccessDeniedException',
      'KMSDisabledException',
      'KMSInvalidStateException',
      'KMSNotFoundException',
      'KMSOptInRequired',
    ],
    failure: { state: 'kms_error', hint: 'The key of the stream cannot be used: check its state and its policy for this user.' },
  },
  { names: ['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture'], failure: CLOCK_SKEW },
  {
    names: ['ValidationException', 'InvalidArgumentException', 'SerializationException'],
    failure: { state: 'rejected', hint: 'A record is refused; it is looked for and goes to the dead letters.', poison: true },
  },
];

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ECONNABORTED',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

function retryAfterMs(error: SdkError): number | undefined {
  const value = error.$response?.headers?.['retry-after'];
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 300) * 1000 : undefined;
}

/** Classifies what a request threw. Never throws. */
export function classify(thrown: unknown): FailureClass {
  const error: SdkError = typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) };
  const name = error.name ?? '';
  const words = `${name}${error.message === undefined || error.message === '' ? '' : ` ${error.message}`}`.trim().slice(0, 300);
  const after = retryAfterMs(error);
  const waiting = after === undefined ? {} : { retryAfterMs: after };
  // The JSON protocol's words for a wrong clock, under the name of a wrong signature.
  if (/signature (expired|not yet current)/i.test(words)) return { ...CLOCK_SKEW, reason: `clock_skew: ${words}`, ...waiting };
  for (const { names, failure } of NAMED)
    if (names.includes(name)) return { ...failure, reason: `${failure.state}: ${words}`, ...waiting };
  if (/region is missing/i.test(words))
    return { state: 'error', reason: `error: ${words}`, hint: 'Set AWS_REGION.', rebuild: true };
  const status = error.$metadata?.httpStatusCode ?? 0;
  if (status === 429)
    return {
      state: 'throttled',
      reason: `throttled: HTTP 429 ${words}`,
      hint: 'Nothing to do: it is tried again slower.',
      ...waiting,
    };
  if (status === 407 || /proxy|CONNECT/.test(words))
    return {
      state: 'unreachable',
      reason: `unreachable: ${words}`,
      hint: 'The proxy refuses: check HTTPS_PROXY, its user and password.',
      ...waiting,
    };
  // A refused tunnel looks like an answer to the request itself.
  if (name === 'Unknown' && status < 500)
    return {
      state: 'unreachable',
      reason: `unreachable: the answer is no Kinesis answer (HTTP ${status})`,
      hint: 'A proxy refuses, or something answers in its place: check HTTPS_PROXY, NO_PROXY and the endpoint.',
      ...waiting,
    };
  if (name === 'SyntaxError')
    return {
      state: 'unreachable',
      reason: `unreachable: the answer is no Kinesis answer (HTTP ${status})`,
      hint: 'Something between answers in its place: a captive portal, a proxy, or a wrong endpoint.',
      ...waiting,
    };
  if (
    UNREACHABLE.has(error.code ?? '') ||
    ['TimeoutError', 'AbortError', 'RequestTimeout', 'NetworkingError'].includes(name) ||
    /socket hang up|timed? ?out|aborted|premature|network/i.test(words)
  )
    return {
      state: 'unreachable',
      reason: `unreachable: ${error.code === undefined ? words : `${error.code} ${words}`}`,
      hint: 'Check network, DNS, proxy and firewall; readings wait in the queue.',
      ...waiting,
    };
  if (status >= 500)
    return {
      state: 'error',
      reason: `error: HTTP ${status} ${words}`,
      hint: 'The service is in trouble: it is tried again. See the AWS health dashboard if it lasts.',
      ...waiting,
    };
  return {
    state: 'error',
    reason: `error: ${words === '' ? `HTTP ${status}` : words}`,
    hint: 'It is tried again; the log has the details.',
    ...waiting,
  };
}
