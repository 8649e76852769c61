/** Classifies errors of whole requests: the uplink's state, the detail, a hint for the operator, and how to continue. */
import { maskSecrets } from '../../service/secrets/mask.ts';
import type { FailureClass } from './sink.ts';

interface SdkError {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
  $response?: { headers?: Record<string, string> };
}

type Failure = Omit<FailureClass, 'detail' | 'retryAfterMs'>;

const CLOCK_SKEW: Failure = {
  state: 'clock_skew',
  hint: 'Set the time of this box (timedatectl set-ntp true).',
};

const NAMED: readonly { names: readonly string[]; failure: Failure }[] = [
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
      hint: 'Nothing to do: retried at a lower rate. If it persists, add shards to the stream, or use KINESIS_MODE=aggregated.',
    },
  },
  {
    names: ['ExpiredTokenException', 'ExpiredToken'],
    failure: {
      state: 'credentials_expired',
      hint: 'Renew the credentials; rotated ones are picked up automatically.',
      rebuild: true,
    },
  },
  {
    names: ['CredentialsProviderError', 'TokenProviderError', 'ProviderError'],
    failure: {
      state: 'unauthorized',
      hint: 'Provide credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role (docs/kinesis.md).',
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
      hint: 'Create the stream (cloud/template.yaml), or correct KINESIS_STREAM and AWS_REGION. Readings wait in the queue.',
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
    failure: { state: 'rejected', hint: 'A record is refused; it is searched for and moved to the dead letters.', poison: true },
  },
  {
    names: ['InconsistentAnswer'],
    failure: {
      state: 'error',
      hint: 'Nothing counts as shipped. Check whether a proxy changes answers, and whether the endpoint is Kinesis.',
    },
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

interface Thrown {
  name: string;
  /** Name and message, at most 300 characters. */
  text: string;
  /** Node's code of a network error. */
  code: string | undefined;
  /** HTTP status; 0 without an answer. */
  status: number;
}

interface Rule {
  matches: (thrown: Thrown) => boolean;
  failure: Failure;
  /** Default: the text. */
  detail?: (thrown: Thrown) => string;
}

const notKinesis = ({ status }: Thrown): string => `not a Kinesis answer (HTTP ${status})`;
const NETWORK_ERRORS = ['TimeoutError', 'AbortError', 'RequestTimeout', 'NetworkingError'];

/** The first rule that matches decides. */
const RULES: readonly Rule[] = [
  // The JSON protocol reports a wrong clock under the name of a wrong signature.
  { matches: ({ text }) => /signature (expired|not yet current)/i.test(text), failure: CLOCK_SKEW },
  ...NAMED.map(({ names, failure }): Rule => ({ matches: ({ name }) => names.includes(name), failure })),
  {
    matches: ({ text }) => /region is missing/i.test(text),
    failure: { state: 'error', hint: 'Set AWS_REGION.', rebuild: true },
  },
  {
    matches: ({ status }) => status === 429,
    failure: { state: 'throttled', hint: 'Nothing to do: retried at a lower rate.' },
    detail: ({ text }) => `HTTP 429 ${text}`,
  },
  {
    matches: ({ status, text }) => status === 407 || /proxy|CONNECT/.test(text),
    failure: { state: 'unreachable', hint: 'The proxy refuses: check HTTPS_PROXY, its user and password.' },
  },
  {
    // A tunnel that the proxy refuses looks like an answer to the request itself.
    matches: ({ name, status }) => name === 'Unknown' && status < 500,
    failure: {
      state: 'unreachable',
      hint: 'A proxy refuses, or another server answers instead: check HTTPS_PROXY, NO_PROXY and the endpoint.',
    },
    detail: notKinesis,
  },
  {
    matches: ({ name }) => name === 'SyntaxError',
    failure: {
      state: 'unreachable',
      hint: 'Another server answers instead: a captive portal, a proxy, or a wrong endpoint.',
    },
    detail: notKinesis,
  },
  {
    matches: ({ code, name, text }) =>
      UNREACHABLE.has(code ?? '') ||
      NETWORK_ERRORS.includes(name) ||
      /socket hang up|timed? ?out|aborted|premature|network/i.test(text),
    failure: {
      state: 'unreachable',
      hint: 'Check network, DNS, proxy and firewall; readings wait in the queue.',
    },
    detail: ({ code, text }) => (code === undefined ? text : `${code} ${text}`),
  },
  {
    matches: ({ status }) => status >= 500,
    failure: {
      state: 'error',
      hint: 'The service has a problem: retrying. See the AWS health dashboard if it persists.',
    },
    detail: ({ status, text }) => `HTTP ${status} ${text}`,
  },
];

const OTHER: Rule = { matches: () => true, failure: { state: 'error', hint: 'Retrying; the log has the details.' } };

/** Classifies what a request threw. Never throws. */
export function classify(thrown: unknown): FailureClass {
  const error: SdkError = typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) };
  const facts: Thrown = {
    name: error.name ?? '',
    // Masked before it is cut: half a session token is recognised by nobody.
    text: maskSecrets(`${error.name ?? ''} ${error.message ?? ''}`.trim()).slice(0, 300),
    code: error.code,
    status: error.$metadata?.httpStatusCode ?? 0,
  };
  const { failure, detail } = RULES.find(({ matches }) => matches(facts)) ?? OTHER;
  const text = detail === undefined ? facts.text : detail(facts);
  const afterMs = retryAfterMs(error);
  return {
    ...failure,
    detail: text === '' ? `HTTP ${facts.status}` : text,
    ...(afterMs === undefined ? {} : { retryAfterMs: afterMs }),
  };
}
