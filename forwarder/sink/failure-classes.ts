/** Classifies errors of whole requests: the uplink's state, the detail, a hint for the operator, and how to continue. */
import { LOCAL_STREAM_FILE, LOCAL_STREAM_REASON_HEADER } from '../../contract/local-stream-status.ts';
import type { UplinkState } from '../../contract/forwarder-status.ts';
import type { targetOf } from '../../service/config/stream-address.ts';
import { hintOf } from '../../service/errors/reason-catalogue.ts';
import { classifyCredentials } from './credential-failures.ts';
import { CredentialsFailed } from './credentials.ts';
import { factsOf, type Thrown } from './thrown.ts';
import type { FailureClass } from './sink.ts';

type Failure = Omit<FailureClass, 'detail' | 'retryAfterMs'>;

const WRONG_CREDENTIALS = 'The credentials are wrong: check key, secret and region.';
const SET_CLOCK = hintOf('clock_skew');
const CLOCK_SKEW: Failure = { state: 'clock_skew', hint: SET_CLOCK };

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
      mayBeClock: SET_CLOCK,
    },
  },
  { names: ['Misconfigured'], failure: { state: 'misconfigured', hint: hintOf('misconfigured'), rebuild: true } },
  {
    names: ['CredentialsProviderError', 'TokenProviderError', 'ProviderError', 'NoCredentials'],
    failure: {
      state: 'unauthorized',
      hint: 'Provide credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role (docs/kinesis.md).',
      rebuild: true,
    },
  },
  {
    names: ['InvalidSignatureException', 'SignatureDoesNotMatch'],
    failure: { state: 'unauthorized', hint: WRONG_CREDENTIALS, rebuild: true, mayBeClock: SET_CLOCK },
  },
  {
    names: [
      'UnrecognizedClientException',
      'InvalidClientTokenId',
      'IncompleteSignature',
      'MissingAuthenticationTokenException',
      'MissingAuthenticationToken',
      'InvalidAccessKeyId',
      'OptInRequired',
      'NotAuthorized',
    ],
    failure: { state: 'unauthorized', hint: WRONG_CREDENTIALS, rebuild: true },
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

const OUTDATED_CERTIFICATES: ReadonlySet<string> = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED']);

/** Codes of Node, most of them OpenSSL's. */
const isUntrusted = (code: string): boolean =>
  /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(GET|VERIFY)|ERR_TLS_CERT_ALTNAME|CERT_(UNTRUSTED|REJECTED|SIGNATURE))/.test(code);

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EPIPE',
  'ECONNABORTED',
]);

function retryAfterMs({ header }: Thrown): number | undefined {
  const value = header('retry-after');
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 300) * 1000 : undefined;
}

interface Rule {
  matches: (thrown: Thrown) => boolean;
  failure: Failure;
  /** Default: the text. */
  detail?: (thrown: Thrown) => string;
}

const withCode = ({ code, text }: Thrown): string => (code === '' ? text : `${code} ${text}`);
const notKinesis = ({ status }: Thrown): string => `not a Kinesis answer (HTTP ${status})`;
/** Words of the SDK's errors about endpoints, and whose value it cannot obey; a profile has the same settings in small letters. */
const ENDPOINT_VARIABLES: readonly (readonly [words: RegExp, variable: string])[] = [
  [/\bFIPS\b.*not support/, 'AWS_USE_FIPS_ENDPOINT'],
  [/\bDual ?Stack\b.*not support/i, 'AWS_USE_DUALSTACK_ENDPOINT'],
  [/AccountIdEndpointMode|account_id_endpoint_mode/i, 'AWS_ACCOUNT_ID_ENDPOINT_MODE'],
  [/\bInvalid ARN\b|from ARN doesn't match/, 'KINESIS_STREAM'],
  [/Region not accepted/, 'AWS_REGION'],
];
const NETWORK_ERRORS = ['TimeoutError', 'AbortError', 'RequestTimeout', 'NetworkingError'];

/** The first rule that matches decides. */
const RULES: readonly Rule[] = [
  {
    matches: ({ header }) => header(LOCAL_STREAM_REASON_HEADER) === LOCAL_STREAM_FILE,
    failure: { state: 'local_stream_file', hint: hintOf('local_stream_file') },
    detail: ({ name, text }) => text.slice(text.startsWith(name) ? name.length : 0).trim(),
  },
  // The JSON protocol reports a wrong clock under the name of a wrong signature.
  { matches: ({ text }) => /signature (expired|not yet current)/i.test(text), failure: CLOCK_SKEW },
  ...NAMED.map(({ names, failure }): Rule => ({ matches: ({ name }) => names.includes(name), failure })),
  {
    matches: ({ text }) => /region is missing/i.test(text),
    failure: { state: 'misconfigured', hint: 'Set AWS_REGION.', rebuild: true },
    detail: () => 'AWS_REGION: is not set',
  },
  {
    matches: ({ text }) => ENDPOINT_VARIABLES.some(([words]) => words.test(text)),
    failure: { state: 'misconfigured', hint: hintOf('misconfigured'), rebuild: true },
    detail: ({ text }) => `${ENDPOINT_VARIABLES.find(([words]) => words.test(text))?.[1] ?? ''}: ${text}`,
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
    matches: ({ code }) => OUTDATED_CERTIFICATES.has(code),
    failure: {
      state: 'unreachable',
      hint: "The endpoint's certificate must be renewed; if the endpoint is AWS', check the clock of this box.",
      mayBeClock: SET_CLOCK,
    },
    detail: withCode,
  },
  {
    matches: ({ code }) => isUntrusted(code),
    failure: {
      state: 'unreachable',
      hint:
        'The certificate of the endpoint, or of a proxy that answers in its place, is not trusted: name its authority in AWS_CA_BUNDLE ' +
        '(or NODE_EXTRA_CA_CERTS).',
      rebuild: true,
    },
    detail: withCode,
  },
  {
    matches: ({ code, name, text }) =>
      UNREACHABLE.has(code) ||
      NETWORK_ERRORS.includes(name) ||
      /socket hang up|timed? ?out|aborted|premature|network/i.test(text),
    failure: {
      state: 'unreachable',
      hint: 'Check network, DNS, proxy and firewall; readings wait in the queue.',
    },
    detail: withCode,
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

/** What helps with the embedded stream, which has no account, no region and no network in between. */
const LOCAL_HINTS: Readonly<Partial<Record<UplinkState, string>>> = {
  throttled: 'Nothing to do: the local stream has the limits of a real shard. LOCAL_KINESIS_LIMITS=false lifts them.',
  unreachable: 'Start the local stream, or read its log. Readings wait in the queue.',
  stream_missing:
    'Give the local stream and the forwarder the same KINESIS_STREAM, and restart both. Readings wait in the queue.',
  error: 'Read the log of the local stream; sending is retried.',
};

/** Classifies what a request to a stream of this kind threw. Never throws. */
export function classify(thrown: unknown, target: ReturnType<typeof targetOf> = 'aws'): FailureClass {
  const failure = classified(thrown);
  const hint = target === 'local' && failure.mayBeClock === undefined ? LOCAL_HINTS[failure.state] : undefined;
  return hint === undefined ? failure : { ...failure, hint };
}

function classified(thrown: unknown): FailureClass {
  if (thrown instanceof CredentialsFailed) return classifyCredentials(thrown, classified);
  const facts = factsOf(thrown);
  const { failure, detail } = RULES.find(({ matches }) => matches(facts)) ?? OTHER;
  const text = detail === undefined ? facts.text : detail(facts);
  const afterMs = retryAfterMs(facts);
  return {
    ...failure,
    detail: text === '' ? `HTTP ${facts.status}` : text,
    ...(afterMs === undefined ? {} : { retryAfterMs: afterMs }),
  };
}
