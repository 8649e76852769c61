/**
 * Credentials by an X.509 certificate, from the AWS IoT credentials provider: a request over mutual TLS, whose answer holds temporary
 * credentials of the role behind the role alias. (AWS IoT Core Developer Guide, "Authorizing direct calls to AWS services using AWS IoT
 * Core credential provider".) The files are read at each refresh, so a renewed certificate needs no restart.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createSecureContext, TLSSocket } from 'node:tls';
import Type from 'typebox';
import { checkerOf } from '../../contract/validate.ts';
import { sdkEnvironment, type Config } from '../../service/config/config.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { CredentialsFailed, type Credentials, type CredentialsProvider } from './credentials.ts';
import { makeAgents } from './http-handler.ts';
import { Misconfigured } from './misconfigured.ts';

const TIMEOUT_MS = 10_000;
const ANSWER_MAX_BYTES = 64 * 1024;
const OK = 200;
const SOURCE = 'IoT credentials provider';

const answerSchema = Type.Object({
  credentials: Type.Object({
    accessKeyId: Type.String({ minLength: 1 }),
    secretAccessKey: Type.String({ minLength: 1 }),
    sessionToken: Type.String({ minLength: 1 }),
    expiration: Type.String({ minLength: 1 }),
  }),
});
const checkAnswer = checkerOf(answerSchema);

/** The endpoint refused, or its answer is not one: `status` and `date` are of the answer. */
export class IotAnswerError extends Error {
  override readonly name = 'IotAnswerError';
  readonly status: number;
  readonly date: string | undefined;
  constructor(message: string, { statusCode = 0, headers }: Pick<IncomingMessage, 'statusCode' | 'headers'>) {
    super(message);
    this.status = statusCode;
    this.date = headers.date;
  }
}

/** Its name is classified in credential-failures.ts. */
class ProxyRefused extends Error {
  override readonly name = 'ProxyRefused';
}

type IotConfig = Pick<
  Config,
  | 'KINESIS_IOT_ENDPOINT'
  | 'KINESIS_IOT_ROLE_ALIAS'
  | 'KINESIS_IOT_THING_NAME'
  | 'KINESIS_IOT_CERT_FILE'
  | 'KINESIS_IOT_KEY_FILE'
  | 'KINESIS_IOT_CA_FILE'
>;

/** The region that an account's endpoint names: `<id>.credentials.iot.eu-west-1.amazonaws.com`. */
export function regionOfIotEndpoint(endpoint: string): string | undefined {
  return /\.credentials\.iot(?:-fips)?\.([a-z0-9-]+)\./.exec(endpoint)?.[1];
}

function fileOf(config: IotConfig, name: 'KINESIS_IOT_CERT_FILE' | 'KINESIS_IOT_KEY_FILE' | 'KINESIS_IOT_CA_FILE'): string {
  try {
    return readFileSync(config[name] ?? '', 'utf8');
  } catch (error) {
    throw new Misconfigured(`${name}: cannot be read: ${messageOf(error)}`);
  }
}

interface Identity {
  cert: string;
  key: string;
  ca?: string;
}

/** Reads the files. Throws Misconfigured: which of them cannot be read or used. */
function identityOf(config: IotConfig): Identity {
  const cert = fileOf(config, 'KINESIS_IOT_CERT_FILE');
  const key = fileOf(config, 'KINESIS_IOT_KEY_FILE');
  const ca = config.KINESIS_IOT_CA_FILE === undefined ? sdkEnvironment().caBundle() : fileOf(config, 'KINESIS_IOT_CA_FILE');
  const identity = { cert, key, ...(ca === undefined ? {} : { ca }) };
  for (const [name, options] of [
    ['KINESIS_IOT_CERT_FILE', { cert }],
    ['KINESIS_IOT_KEY_FILE', { key }],
    ['KINESIS_IOT_CERT_FILE and KINESIS_IOT_KEY_FILE', identity],
  ] as const)
    try {
      createSecureContext(options);
    } catch (error) {
      throw new Misconfigured(`${name}: cannot be used: ${messageOf(error)}`);
    }
  return identity;
}

/** What may be wrong with this box's certificate by its own dates, for a person; empty if nothing is. */
function validityOf(cert: string): string {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (Date.parse(validTo) < Date.now()) return `; the certificate of this box expired on ${new Date(validTo).toISOString()}`;
  if (Date.parse(validFrom) > Date.now())
    return `; the certificate of this box is valid from ${new Date(validFrom).toISOString()}`;
  return '';
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > ANSWER_MAX_BYTES) throw new IotAnswerError('the answer is too large', answer);
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The credentials in an answer. Throws IotAnswerError. */
function credentialsIn(text: string, answer: IncomingMessage): Credentials {
  const value = parsed(text);
  if (answer.statusCode !== OK) {
    const message =
      typeof value === 'object' && value !== null && 'message' in value ? String(value.message) : text.slice(0, 100);
    throw new IotAnswerError(`HTTP ${answer.statusCode} ${message}`, answer);
  }
  const checked = checkAnswer(value);
  if (!checked.ok) throw new IotAnswerError('the answer has no credentials', answer);
  const { expiration, ...keys } = checked.value.credentials;
  const expiresAtMs = Date.parse(expiration);
  if (Number.isNaN(expiresAtMs)) throw new IotAnswerError('the answer has no valid time of expiry', answer);
  // By the endpoint's clock: this box's may be wrong, and would then ask again for each request.
  const sentAtMs = Date.parse(answer.headers.date ?? '');
  const lifetimeMs = expiresAtMs - (Number.isNaN(sentAtMs) ? Date.now() : sentAtMs);
  if (lifetimeMs <= 0) throw new IotAnswerError('the credentials in the answer have expired', answer);
  return { ...keys, expiration: new Date(Date.now() + lifetimeMs) };
}

async function ask(config: IotConfig, thingName: string, identity: Identity): Promise<Credentials> {
  const url = new URL(`https://${config.KINESIS_IOT_ENDPOINT ?? ''}`);
  url.pathname = `/role-aliases/${encodeURIComponent(config.KINESIS_IOT_ROLE_ALIAS ?? '')}/credentials`;
  const { httpsAgent } = await makeAgents(identity, { proxied: true });
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        url,
        { agent: httpsAgent, headers: { 'x-amzn-iot-thingname': thingName }, signal: AbortSignal.timeout(TIMEOUT_MS) },
        resolve,
      );
      sent.on('error', reject);
      sent.end();
    });
    // The answer of a proxy that opens no tunnel looks like one to the request itself.
    if (!(answer.socket instanceof TLSSocket)) throw new ProxyRefused(`the proxy answers HTTP ${answer.statusCode ?? 0}`);
    return credentialsIn(await bodyOf(answer), answer);
  } finally {
    httpsAgent.destroy();
  }
}

/**
 * A provider for this box's certificate. Throws CredentialsFailed with the cause: Misconfigured, IotAnswerError, or an error of the
 * connection.
 */
export function iotCredentials(config: IotConfig, thingName: () => string): CredentialsProvider {
  return async () => {
    let validity = '';
    try {
      const identity = identityOf(config);
      validity = validityOf(identity.cert);
      return await ask(config, config.KINESIS_IOT_THING_NAME ?? thingName(), identity);
    } catch (error) {
      // Without an alert, a server that wants another certificate just closes the connection.
      if (validity === '' && systemCodeOf(error) === 'ECONNRESET') validity = '; it may not know the certificate of this box';
      if (error instanceof Error) error.message += validity;
      throw new CredentialsFailed(SOURCE, error);
    }
  };
}
