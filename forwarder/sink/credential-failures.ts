/** Classifies failures of a source of credentials: by its own error, not by the fact that there are no credentials. */
import { hintOf } from '../../service/errors/reason-catalogue.ts';
import { maskSecrets } from '../../service/secrets/mask.ts';
import type { CredentialsFailed } from './credentials.ts';
import { IotAnswerError } from './iot-credentials.ts';
import { factsOf, type Thrown } from './thrown.ts';
import type { FailureClass } from './sink.ts';

type Failure = Omit<FailureClass, 'detail' | 'retryAfterMs'>;
interface Rule {
  matches: (cause: unknown, facts: Thrown) => boolean;
  failure: Failure;
}

const DETAIL_MAX_LENGTH = 400;
/** Words of SDKs, curl and Node for a server that does not answer. */
const UNREACHABLE_WORDS = [
  'connection refused',
  'could not resolve',
  'name resolution',
  'timed out',
  'timeout',
  'unreachable',
  'no route to host',
  'unable to connect',
  'socket hang up',
  'did not end within',
];
const UNREACHABLE_TEXT = new RegExp(UNREACHABLE_WORDS.join('|'), 'i');
const REFUSED_TEXT = /\b(401|403)\b|access ?denied|forbidden|not authorized/i;

const refused: Failure = {
  state: 'unauthorized',
  hint: 'The source of the credentials refuses: check its configuration and its rights (for a role: its trust policy and sts:AssumeRole).',
  rebuild: true,
};
const unreachable: Failure = {
  state: 'unreachable',
  hint: 'The source of the credentials, which the reason names, cannot be reached: check network, DNS, proxy and firewall to it.',
  rebuild: true,
};

/** The first rule that matches decides; what matches none is classified like an error of the stream, or is `unauthorized`. */
const RULES: readonly Rule[] = [
  {
    matches: (_, { text }) => /\bexpired\b/i.test(text) && !/signature expired/i.test(text),
    failure: {
      state: 'credentials_expired',
      hint: 'Renew them at their source, which the reason names (SSO: aws sso login).',
      rebuild: true,
      mayBeClock: hintOf('clock_skew'),
    },
  },
  {
    matches: (_, { name }) => name === 'ProxyRefused',
    failure: {
      state: 'unreachable',
      hint: 'The proxy refuses: check HTTPS_PROXY, its user and password, and NO_PROXY.',
      rebuild: true,
    },
  },
  {
    matches: (cause) => cause instanceof IotAnswerError && [400, 401, 403].includes(cause.status),
    failure: {
      state: 'unauthorized',
      hint:
        'The IoT credentials provider refuses the certificate: it must be active, attached to the thing (KINESIS_IOT_THING_NAME) and ' +
        'have a policy that allows the role alias. docs/fleet.md.',
      rebuild: true,
    },
  },
  {
    matches: (cause) => cause instanceof IotAnswerError && cause.status === 404,
    failure: {
      state: 'misconfigured',
      hint: 'The endpoint does not know KINESIS_IOT_ROLE_ALIAS: check its name, and that KINESIS_IOT_ENDPOINT is of its region.',
      rebuild: true,
    },
  },
  {
    matches: (cause) => cause instanceof IotAnswerError && cause.status === 200,
    failure: {
      state: 'unreachable',
      hint: 'Another server answers instead of the IoT credentials provider: a captive portal, a proxy, or a wrong KINESIS_IOT_ENDPOINT.',
      rebuild: true,
    },
  },
  {
    // A server that wants another certificate ends the handshake, or the connection after it.
    matches: (_, { code }) => /^ERR_SSL_.*ALERT/.test(code),
    failure: {
      state: 'unauthorized',
      hint: 'The endpoint refuses the certificate of this box during the TLS handshake: check KINESIS_IOT_CERT_FILE.',
      rebuild: true,
    },
  },
  {
    matches: (_, { code }) => /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE)/.test(code),
    failure: unreachable,
  },
  { matches: (_, { status }) => status === 429, failure: { state: 'throttled', hint: hintOf('throttled') } },
  {
    matches: (_, { status, text }) => status >= 500 || /status: 5\d\d/.test(text),
    failure: { state: 'error', hint: hintOf('error'), rebuild: true },
  },
  {
    matches: (_, { text }) => /credential_process: .* (was not found|cannot be executed)/.test(text),
    failure: {
      state: 'misconfigured',
      hint: 'Install the program that credential_process names, or correct its path; in a container it must be in the image or mounted.',
      rebuild: true,
    },
  },
  { matches: (_, { text }) => REFUSED_TEXT.test(text), failure: refused },
  { matches: (_, { text }) => UNREACHABLE_TEXT.test(text), failure: unreachable },
];

/** Names that the SDK gives every failure of a source: they say nothing. */
const PROVIDER_ERRORS: ReadonlySet<string> = new Set([
  'CredentialsProviderError',
  'TokenProviderError',
  'ProviderError',
  'Error',
]);

/** `classifyCause`: classifies errors of requests to AWS, which the requests of a source may have as well. */
export function classifyCredentials(failed: CredentialsFailed, classifyCause: (cause: unknown) => FailureClass): FailureClass {
  const { cause } = failed;
  const facts = factsOf(cause);
  const code = facts.code === '' || failed.message.includes(facts.code) ? '' : ` (${facts.code})`;
  const detail = `${maskSecrets(failed.message).slice(0, DETAIL_MAX_LENGTH)}${code}`;
  const rule = RULES.find(({ matches }) => matches(cause, facts));
  if (rule !== undefined) return { ...rule.failure, detail };
  const found = PROVIDER_ERRORS.has(facts.name) && facts.code === '' ? undefined : classifyCause(cause);
  if (found === undefined || found.state === 'error' || found.state === 'rejected') return { ...refused, detail };
  return { ...found, detail, rebuild: true };
}
