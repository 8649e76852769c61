/**
 * The variables of the AWS SDK, of Node and of proxies that the forwarder's connection to AWS obeys. They are not settings of ours, and
 * the local stream needs none of them. For AWS and for an endpoint each of them works, or a fault names it: an SDK ignores many mistakes
 * silently. The names are those of the AWS SDKs and Tools Reference Guide; a test compares them with the installed SDK.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../errors/errors.ts';
import { maskUrl } from '../secrets/url-credentials.ts';
import type { Environment } from './environment.ts';

/** The proxies of an environment; empty texts for those that are not set. */
export interface ProxyVariables {
  /** HTTP_PROXY: for `http://` URLs. */
  http: string;
  /** HTTPS_PROXY: for `https://` URLs. */
  https: string;
  /** ALL_PROXY: for URLs without a proxy of their own. */
  all: string;
  /** NO_PROXY: what is reached directly. */
  none: string;
}

interface SdkVariable {
  /** For the table in docs/kinesis.md. */
  doc: string;
  /** What a value must be, as a person reads it; undefined: anything. */
  must?: string;
  accepts?: (value: string) => boolean;
}

const BOOLEAN = { must: 'be true or false', accepts: (value: string) => value === 'true' || value === 'false' };
const URL_TEXT = {
  must: 'be an http(s) URL',
  accepts: (value: string) => /^https?:\/\//i.test(value) && URL.canParse(value),
};
const PROXY = {
  must: 'be the URL of a proxy (http, https or socks)',
  accepts: (value: string) => {
    const text = value.includes('://') ? value : `http://${value}`;
    return /^(https?|socks(4a?|5h?)?|pac\+[a-z]+):/i.test(text) && URL.canParse(text);
  },
};
const COUNT = { must: 'be a whole number from 1', accepts: (value: string) => /^[1-9]\d{0,3}$/.test(value) };
const oneOf = (...values: string[]): Pick<SdkVariable, 'must' | 'accepts'> => ({
  must: `be one of ${values.join(', ')}`,
  accepts: (value) => values.includes(value.toLowerCase()),
});
const REGION = {
  must: 'be the name of a region',
  accepts: (value: string) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(value),
};

export const SDK_VARIABLES = {
  AWS_REGION: { doc: 'Region of the stream. The ARN of a stream has its own.', ...REGION },
  AWS_DEFAULT_REGION: { doc: 'Region, if `AWS_REGION` is not set.', ...REGION },
  AWS_ACCESS_KEY_ID: { doc: 'Access key; together with `AWS_SECRET_ACCESS_KEY`.' },
  AWS_SECRET_ACCESS_KEY: { doc: 'Secret of the access key.' },
  AWS_SESSION_TOKEN: { doc: 'Session token of temporary credentials.' },
  AWS_CREDENTIAL_EXPIRATION: {
    doc: 'When the credentials of the environment expire.',
    must: 'be a time (RFC 3339)',
    accepts: (value: string) => !Number.isNaN(Date.parse(value)),
  },
  AWS_CREDENTIAL_SCOPE: { doc: 'Scope of the credentials of the environment.' },
  AWS_ACCOUNT_ID: {
    doc: 'Account of the credentials of the environment.',
    must: 'be 12 digits',
    accepts: (value: string) => /^\d{12}$/.test(value),
  },
  AWS_PROFILE: { doc: 'Profile in the shared files. Takes precedence over keys in the environment.' },
  AWS_CONFIG_FILE: { doc: 'Shared configuration, instead of `~/.aws/config`.' },
  AWS_SHARED_CREDENTIALS_FILE: { doc: 'Shared credentials, instead of `~/.aws/credentials`.' },
  AWS_LOGIN_CACHE_DIRECTORY: { doc: 'Where `aws login` keeps its session.' },
  AWS_WEB_IDENTITY_TOKEN_FILE: { doc: 'Token of a web identity; together with `AWS_ROLE_ARN`.' },
  AWS_ROLE_ARN: {
    doc: 'Role of the web identity.',
    must: 'be the ARN of a role',
    accepts: (value: string) => /^arn:aws[a-z-]*:iam::\d{12}:role\/.+$/.test(value),
  },
  AWS_ROLE_SESSION_NAME: {
    doc: 'Name of its session.',
    must: 'be 2-64 of letters, digits, _ + = , . @ -',
    accepts: (value: string) => /^[\w+=,.@-]{2,64}$/.test(value),
  },
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: {
    doc: 'Path on the credentials endpoint of ECS.',
    must: 'begin with /',
    accepts: (value: string) => value.startsWith('/'),
  },
  AWS_CONTAINER_CREDENTIALS_FULL_URI: { doc: 'Credentials endpoint of EKS, Greengrass and others.', ...URL_TEXT },
  AWS_CONTAINER_AUTHORIZATION_TOKEN: { doc: 'Its authorization.' },
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: { doc: 'File with its authorization.' },
  AWS_EC2_METADATA_DISABLED: { doc: '`true` outside of EC2: the metadata service is not asked.' },
  AWS_EC2_METADATA_V1_DISABLED: { doc: 'No fallback to version 1 of the metadata service.' },
  AWS_EC2_METADATA_SERVICE_ENDPOINT: { doc: 'Metadata service, instead of 169.254.169.254.', ...URL_TEXT },
  AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: { doc: '`IPv6`: the metadata service is asked over IPv6.', ...oneOf('ipv4', 'ipv6') },
  AWS_METADATA_SERVICE_TIMEOUT: { doc: 'Seconds to wait for the metadata service (1).', ...COUNT },
  AWS_METADATA_SERVICE_NUM_ATTEMPTS: { doc: 'Attempts at the metadata service (1).', ...COUNT },
  AWS_ENDPOINT_URL: { doc: 'Endpoint of all services, if `KINESIS_TARGET` is `aws`.', ...URL_TEXT },
  AWS_ENDPOINT_URL_KINESIS: { doc: 'Endpoint of Kinesis, if `KINESIS_TARGET` is `aws`.', ...URL_TEXT },
  AWS_ENDPOINT_URL_STS: { doc: 'Endpoint of STS, which issues the credentials of roles.', ...URL_TEXT },
  AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: { doc: '`true`: the three above and those of the shared files do not count.', ...BOOLEAN },
  AWS_USE_FIPS_ENDPOINT: { doc: 'FIPS endpoints. Not with an endpoint of your own.', ...BOOLEAN },
  AWS_USE_DUALSTACK_ENDPOINT: { doc: 'Endpoints with IPv6. Not with an endpoint of your own.', ...BOOLEAN },
  AWS_ACCOUNT_ID_ENDPOINT_MODE: {
    doc: "Endpoints with the account's number.",
    ...oneOf('preferred', 'disabled', 'required'),
  },
  AWS_STS_REGIONAL_ENDPOINTS: { doc: 'No effect: this SDK always uses the endpoint of the region.' },
  AWS_RETRY_MODE: {
    doc: 'How the SDK repeats a request at once; the forwarder repeats it later.',
    ...oneOf('standard', 'legacy', 'adaptive'),
  },
  AWS_MAX_ATTEMPTS: { doc: 'Attempts of the SDK at a request (2), within 30 s.', ...COUNT },
  AWS_DEFAULTS_MODE: {
    doc: 'Defaults of the SDK.',
    ...oneOf('legacy', 'standard', 'in-region', 'cross-region', 'mobile', 'auto'),
  },
  AWS_DISABLE_CLOCK_SKEW_CORRECTION: { doc: '`true`: a wrong clock is not corrected when requests are signed.', ...BOOLEAN },
  AWS_AUTH_SCHEME_PREFERENCE: { doc: 'Preferred ways of signing.' },
  AWS_SIGV4A_SIGNING_REGION_SET: { doc: 'No effect: requests to Kinesis are signed for one region.' },
  AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026: { doc: 'No effect: requests have time limits of their own.' },
  AWS_SDK_UA_APP_ID: { doc: 'Name of the application in the User-Agent.' },
  AWS_EXECUTION_ENV: { doc: 'Execution environment in the User-Agent.' },
  AWS_CA_BUNDLE: { doc: "Certificate authorities (PEM) of endpoints and proxies, instead of Node's." },
  NODE_EXTRA_CA_CERTS: { doc: "Certificate authorities (PEM) besides Node's." },
  HTTPS_PROXY: { doc: 'Proxy for `https://`.', ...PROXY },
  HTTP_PROXY: { doc: 'Proxy for `http://` (a connection per request).', ...PROXY },
  ALL_PROXY: { doc: 'Proxy for both.', ...PROXY },
  NO_PROXY: {
    doc: 'What is reached directly: `*`, hosts, `.domain`, addresses and networks (`10.0.0.0/8`, `fd00::/8`), each with a port if wanted.',
  },
} as const satisfies Record<string, SdkVariable>;

export type SdkVariableName = keyof typeof SDK_VARIABLES;

const PROXIES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY'] as const;

/** Why a file of certificates cannot be used; undefined if it can. */
function fileFault(name: string, file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').includes('-----BEGIN ') ? undefined : `${name}: ${file} has no certificate (PEM)`;
  } catch (error) {
    return `${name}: cannot be read: ${messageOf(error)}`;
  }
}

/** These variables in an environment. */
export class SdkEnvironment {
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The value of a variable; undefined if it is not set. Proxies count in lower case too. */
  value(name: SdkVariableName): string | undefined {
    const lower = name.endsWith('_PROXY') ? this.#environment[name.toLowerCase()]?.trim() : undefined;
    const value = lower === undefined || lower === '' ? this.#environment[name]?.trim() : lower;
    return value === '' ? undefined : value;
  }

  get proxies(): ProxyVariables {
    const of = (name: SdkVariableName): string => this.value(name) ?? '';
    return { http: of('HTTP_PROXY'), https: of('HTTPS_PROXY'), all: of('ALL_PROXY'), none: of('NO_PROXY') };
  }

  /** True if a proxy is configured for outgoing requests. */
  get hasProxy(): boolean {
    return PROXIES.some((name) => this.value(name) !== undefined);
  }

  /** The certificate authorities of AWS_CA_BUNDLE (PEM), read now; undefined if it is not set. Throws what readFileSync throws. */
  caBundle(): string | undefined {
    const file = this.value('AWS_CA_BUNDLE');
    return file === undefined ? undefined : readFileSync(file, 'utf8');
  }

  /**
   * Variables that cannot be obeyed, each with its name and what it must be. Empty if all can. `ownEndpoint`: KINESIS_TARGET is a URL.
   */
  faults({ ownEndpoint }: { ownEndpoint: boolean }): string[] {
    const faults: string[] = [];
    for (const [name, { must, accepts }] of Object.entries<SdkVariable>(SDK_VARIABLES)) {
      const value = this.value(name as SdkVariableName);
      if (value !== undefined && accepts?.(value) === false) faults.push(`${name}: must ${must ?? ''} (got ${maskUrl(value)})`);
    }
    const bundle = this.value('AWS_CA_BUNDLE');
    const fault = bundle === undefined ? undefined : fileFault('AWS_CA_BUNDLE', bundle);
    if (fault !== undefined) faults.push(fault);
    const endpoint = ownEndpoint ? 'KINESIS_TARGET' : this.#endpointVariable();
    for (const name of ['AWS_USE_FIPS_ENDPOINT', 'AWS_USE_DUALSTACK_ENDPOINT'] as const)
      if (endpoint !== undefined && this.value(name) === 'true')
        faults.push(`${name}: cannot be true together with an endpoint of your own (${endpoint})`);
    return faults;
  }

  /** The variable that names an endpoint of one's own; undefined if it is AWS'. */
  #endpointVariable(): string | undefined {
    if (this.value('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') === 'true') return undefined;
    return (['AWS_ENDPOINT_URL_KINESIS', 'AWS_ENDPOINT_URL'] as const).find((name) => this.value(name) !== undefined);
  }
}
