/**
 * Where the AWS credentials come from. The sources and their order are those of the SDK's default chain, whose own errors say only that
 * there are no credentials: here the first source that is configured and failed is reported, with its error.
 */
import { readFileSync } from 'node:fs';
import type { fromIni } from '@aws-sdk/credential-provider-ini';
import { sdkEnvironment } from '../../service/config/config.ts';
import type { SdkVariableName } from '../../service/config/sdk-variables.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { registerSecret } from '../../service/secrets/mask.ts';
import { useCredentialProcess } from './credential-process.ts';
import { Misconfigured } from './misconfigured.ts';

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
  expiration?: Date;
}

/** What the SDK tells a provider: the client that asks, whose region and connections the provider's own requests use. */
export type IdentityProperties = Parameters<ReturnType<typeof fromIni>>[0];
export type CredentialsProvider = (properties?: IdentityProperties) => Promise<Credentials>;

/** A source of credentials has failed. The message begins with its name; `cause` is its own error. */
export class CredentialsFailed extends Error {
  override readonly name = 'CredentialsFailed';
  constructor(source: string, cause: unknown) {
    super(`${source}: ${messageOf(cause)}`, { cause });
  }
}

/** No source is configured. */
export class NoCredentials extends Error {
  override readonly name = 'NoCredentials';
}

interface Source {
  name: string;
  provide: CredentialsProvider;
  /** It is asked although nobody configured it. */
  isGuess?: boolean;
}

const sdkVariable = (name: SdkVariableName): string | undefined => sdkEnvironment().value(name);

/** Shorter than the limit of a whole request, which would end it without a name. */
const LIMIT_MS = 25_000;
const REFRESH_BEFORE_MS = 5 * 60_000;
const REFRESH_AGAIN_MS = 10_000;
/** Shorter ones are words, for emulators. */
const AWS_KEY_MIN_LENGTH = 12;
const MS_PER_S = 1000;

const failing =
  (message: string): CredentialsProvider =>
  () =>
    Promise.reject(new Misconfigured(message));

function environmentSource(): Source | undefined {
  const [key, secret] = [sdkVariable('AWS_ACCESS_KEY_ID'), sdkVariable('AWS_SECRET_ACCESS_KEY')];
  if (sdkVariable('AWS_PROFILE') !== undefined || (key === undefined && secret === undefined)) return undefined;
  const name = 'environment';
  if (key === undefined || secret === undefined)
    return {
      name,
      provide: failing(`${key === undefined ? 'AWS_ACCESS_KEY_ID' : 'AWS_SECRET_ACCESS_KEY'} is not set, but the other is`),
    };
  return {
    name,
    provide: async () => {
      const { fromEnv } = await import('@aws-sdk/credential-provider-env');
      return await fromEnv()();
    },
  };
}

/** Keys of a profile that lead to credentials, and what they are called. */
const PROFILE_KEYS: readonly (readonly [key: string, name: string])[] = [
  ['role_arn', 'role'],
  ['aws_access_key_id', 'keys'],
  ['web_identity_token_file', 'web identity'],
  ['credential_process', 'credential_process'],
  ['sso_session', 'SSO'],
  ['sso_start_url', 'SSO'],
  ['sso_account_id', 'SSO'],
  ['login_session', 'login'],
  ['credential_source', 'credential source'],
];

/** Why a file that a variable names cannot be read; undefined if it can, or if the variable is not set. */
function unreadable(name: SdkVariableName): string | undefined {
  const file = sdkVariable(name);
  if (file === undefined) return undefined;
  try {
    readFileSync(file);
    return undefined;
  } catch (error) {
    return `${name}: cannot be read: ${messageOf(error)}`;
  }
}

const unreadableFiles = (): string =>
  (['AWS_SHARED_CREDENTIALS_FILE', 'AWS_CONFIG_FILE'] as const)
    .map(unreadable)
    .filter((problem) => problem !== undefined)
    .join('; ');

async function profileSource(): Promise<Source | undefined> {
  const { parseKnownFiles } = await import('@smithy/core/config');
  const wanted = sdkVariable('AWS_PROFILE');
  const profile = wanted ?? 'default';
  // Without the SDK's cache, which would keep the shared files as the first client read them.
  const data = (await parseKnownFiles({ ignoreCache: true }))[profile];
  const [, kind] = PROFILE_KEYS.find(([key]) => data?.[key] !== undefined) ?? [];
  if (kind === undefined) {
    if (wanted === undefined) return undefined;
    const files = unreadableFiles();
    const what = data === undefined ? 'is in none of the shared files' : 'has no credentials';
    return { name: 'shared files', provide: failing(files === '' ? `AWS_PROFILE: the profile ${profile} ${what}` : files) };
  }
  return {
    name: `${kind} of the profile ${profile}`,
    provide: async (properties) => {
      const { fromIni: fromProfile } = await import('@aws-sdk/credential-provider-ini');
      useCredentialProcess();
      return await fromProfile({ profile, ignoreCache: true })(properties);
    },
  };
}

function webIdentitySource(): Source | undefined {
  if (sdkVariable('AWS_WEB_IDENTITY_TOKEN_FILE') === undefined) return undefined;
  const name = 'web identity';
  if (sdkVariable('AWS_ROLE_ARN') === undefined)
    return { name, provide: failing('AWS_ROLE_ARN: must be set together with AWS_WEB_IDENTITY_TOKEN_FILE') };
  return {
    name,
    provide: async (properties) => {
      const problem = unreadable('AWS_WEB_IDENTITY_TOKEN_FILE');
      if (problem !== undefined) throw new Misconfigured(problem);
      const { fromTokenFile } = await import('@aws-sdk/credential-provider-web-identity');
      return await fromTokenFile()(properties);
    },
  };
}

function containerSource(): Source | undefined {
  const uri = (['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', 'AWS_CONTAINER_CREDENTIALS_FULL_URI'] as const).find(
    (name) => sdkVariable(name) !== undefined,
  );
  if (uri === undefined) return undefined;
  return {
    name: `container credentials (${uri})`,
    provide: async () => {
      const problem = unreadable('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE');
      if (problem !== undefined) throw new Misconfigured(problem);
      const { fromHttp } = await import('@aws-sdk/credential-provider-http');
      return await fromHttp()();
    },
  };
}

function instanceSource(): Source | undefined {
  const disabled = sdkVariable('AWS_EC2_METADATA_DISABLED') ?? 'false';
  if (disabled !== 'false') return undefined;
  const timeoutMs = Number(sdkVariable('AWS_METADATA_SERVICE_TIMEOUT') ?? 1) * MS_PER_S;
  const attempts = Number(sdkVariable('AWS_METADATA_SERVICE_NUM_ATTEMPTS') ?? 1);
  return {
    name: 'EC2 metadata service',
    isGuess: sdkVariable('AWS_EC2_METADATA_SERVICE_ENDPOINT') === undefined,
    provide: async () => {
      const { fromInstanceMetadata } = await import('@smithy/credential-provider-imds');
      return await fromInstanceMetadata({ timeout: timeoutMs, maxRetries: attempts - 1 })();
    },
  };
}

/** Whether the next source is asked: the SDK marks errors after which it does so. */
const triesNext = (error: unknown): boolean =>
  error instanceof Misconfigured || (error instanceof Error && 'tryNextLink' in error && error.tryNextLink === true);

/** The SDK's default chain. Throws CredentialsFailed, or NoCredentials if none of its sources is configured. */
export const defaultCredentials: CredentialsProvider = async (properties) => {
  const sources = [environmentSource(), await profileSource(), webIdentitySource(), containerSource(), instanceSource()];
  let first: CredentialsFailed | undefined;
  let guess = '';
  for (const source of sources) {
    if (source === undefined) continue;
    try {
      return await source.provide(properties);
    } catch (error) {
      const code = systemCodeOf(error);
      if (source.isGuess === true) guess = `; ${source.name}: ${messageOf(error)}${code === undefined ? '' : ` (${code})`}`;
      else first ??= new CredentialsFailed(source.name, error);
      if (!triesNext(error)) break;
    }
  }
  const files = unreadableFiles();
  throw first ?? new NoCredentials(`no credentials are configured${guess}${files === '' ? '' : `; ${files}`}`);
};

async function withinLimit(provide: CredentialsProvider, properties: IdentityProperties): Promise<Credentials> {
  let limit: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    const error = Object.assign(new Error(`no answer within ${LIMIT_MS / MS_PER_S} s`), { code: 'ETIMEDOUT' });
    limit = setTimeout(() => reject(new CredentialsFailed('credentials', error)), LIMIT_MS);
  });
  try {
    return await Promise.race([provide(properties), tooLong]);
  } finally {
    clearTimeout(limit);
  }
}

/**
 * A provider that asks `provide` again five minutes before its credentials expire, and goes on with these as long as they are valid. What
 * it provides is hidden in every output from then on.
 */
export function refreshed(provide: CredentialsProvider, log: Logger): CredentialsProvider {
  const repeats = new RepeatLimiter(log);
  let current: Credentials | undefined;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let underWay: Promise<Credentials> | undefined;
  const ask = async (properties: IdentityProperties): Promise<Credentials> => {
    triedAtMs = performance.now();
    const credentials = await withinLimit(provide, properties);
    const { accessKeyId, secretAccessKey, sessionToken = '' } = credentials;
    for (const secret of [accessKeyId, secretAccessKey, sessionToken])
      if (secret.length >= AWS_KEY_MIN_LENGTH) registerSecret(secret);
    current = credentials;
    return credentials;
  };
  const askOnce = async (properties: IdentityProperties): Promise<Credentials> => {
    underWay ??= ask(properties).finally(() => (underWay = undefined));
    return await underWay;
  };
  return async (properties) => {
    const leftMs = current?.expiration === undefined ? Number.POSITIVE_INFINITY : current.expiration.getTime() - Date.now();
    if (current === undefined || leftMs <= 0) return await askOnce(properties);
    if (leftMs < REFRESH_BEFORE_MS && performance.now() - triedAtMs >= REFRESH_AGAIN_MS)
      askOnce(properties).catch((error: unknown) =>
        repeats.warn(
          'credentials',
          { event: 'credentials_not_refreshed', reason: messageOf(error), left_s: Math.round(leftMs / MS_PER_S) },
          'cannot refresh the credentials: the present ones are used until they expire',
        ),
      );
    return current;
  };
}
