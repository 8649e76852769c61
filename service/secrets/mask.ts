/**
 * Hides credentials in any text that leaves the process: log lines, errors, stack traces, health, statuses, screens. Two ways together:
 * the secrets that this process knows (from its environment and from DATA_DIR), in every spelling that they have in such texts, and the
 * forms in which credentials of others appear (URLs, headers, keys of AWS).
 */
import { credentialsOf, percentDecoded, splitUrl } from './url-credentials.ts';

const MASK = '***';
/** Shorter texts occur by chance. */
const SECRET_MIN_LENGTH = 4;
/** Shorter ones without punctuation are hidden only as whole words: `test` is no part of `latest`. */
const ANYWHERE_MIN_LENGTH = 8;
/** Keys of AWS and tokens are longer; those of emulators are words such as `test` and `local`. */
const TOKEN_MIN_LENGTH = 12;
/** Of a password that a library divided. */
const PART_MIN_LENGTH = 6;
const SECRETS_MAX = 200;

/** Forms of credentials, and what remains of them. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, MASK],
  [
    /\b((?:proxy-)?authorization|(?:set-)?cookie|x-amz-security-token|x-api-key)(["']?\s*[:=]\s*["']?)[^\r\n"']+/gi,
    `$1$2${MASK}`,
  ],
  [/\b(Bearer)\s+[\w.~+/=-]{6,}/gi, `$1 ${MASK}`],
  [/\b(Basic)\s+(?=[A-Za-z+/]*[\d=])[A-Za-z0-9+/]{6,}={0,2}/gi, `$1 ${MASK}`],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g, MASK],
  [/\b(X-Amz-(?:Security-Token|Signature|Credential)|Signature|Credential)=[^\s&,"']+/gi, `$1=${MASK}`],
  [/\b(aws_(?:access_key_id|secret_access_key|session_token))(["']?\s*[:=]\s*["']?)[^\s"',;&}]+/gi, `$1$2${MASK}`],
  [/\b(accessKeyId|secretAccessKey|sessionToken)(["']?\s*[:=]\s*["']?)[^\s"',;&}]+/gi, `$1$2${MASK}`],
  [/\b(hr_gateway_(?:session|token)|password|passwd)=[^\s;&"']+/gi, `$1=${MASK}`],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, MASK],
];

/** In a text, credentials of a URL end at white space or a quotation mark at the latest. */
const URL_FORM = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s"<>]*@/gi;

/** A text with none of these has none of the forms above. */
const SUSPICIOUS = /:\/\/|PRIVATE KEY|authorization|cookie|x-a|bearer|basic|AKIA|ASIA|signature|credential|key|token|passw|eyJ/i;

interface Spelling {
  text: string;
  /** For short words; others are replaced wherever they occur. */
  pattern: RegExp | undefined;
}

/** Each known secret with its spellings; the oldest first. */
const known = new Map<string, readonly Spelling[]>();
/** Every spelling, longest first: one may contain another. Undefined after a change. */
let sorted: readonly Spelling[] | undefined;

const escaped = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
const isWord = (text: string): boolean => /^[A-Za-z0-9]*$/.test(text);

/** How a secret looks in URLs, JSON, quoted strings and headers. */
function spellingsOf(secret: string): Spelling[] {
  const plain = [secret, percentDecoded(secret)];
  const encoded = plain.flatMap((text) => [text, componentEncoded(text), urlEncoded(text), Buffer.from(text).toString('base64')]);
  const quoted = encoded.flatMap((text) => {
    const json = JSON.stringify(text).slice(1, -1);
    return [text, json, JSON.stringify(json).slice(1, -1), text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)];
  });
  return [...new Set(quoted)]
    .filter((text) => text.length >= SECRET_MIN_LENGTH)
    .map((text) => ({
      text,
      pattern:
        text.length < ANYWHERE_MIN_LENGTH && isWord(text)
          ? new RegExp(`(?<![A-Za-z0-9])${escaped(text)}(?![A-Za-z0-9])`, 'g')
          : undefined,
    }));
}

/** Text with half a surrogate pair cannot be encoded. */
function componentEncoded(text: string): string {
  try {
    return encodeURIComponent(text);
  } catch {
    return text;
  }
}

/** As the URL class writes a password. */
function urlEncoded(text: string): string {
  const url = new URL('http://name@host');
  url.password = text;
  return url.password;
}

const spellings = (): readonly Spelling[] =>
  (sorted ??= [...known.values()].flat().sort((a, b) => b.text.length - a.text.length));

/** Makes a secret known: it is hidden from now on, wherever it appears. Texts of fewer than four characters are ignored. */
export function registerSecret(secret: string): void {
  if (secret.length < SECRET_MIN_LENGTH || known.has(secret)) return;
  const oldest = known.keys().next().value;
  if (known.size >= SECRETS_MAX && oldest !== undefined) known.delete(oldest);
  known.set(secret, spellingsOf(secret));
  sorted = undefined;
}

/**
 * Makes the password of a URL known, and the parts into which libraries divide it at reserved characters. A name without a password counts
 * as one if it is long, as tokens are.
 */
export function registerUrl(url: string): void {
  const { credentials = '' } = splitUrl(url);
  const { username = '', password = '' } = credentialsOf(url) ?? {};
  if (password === '') {
    if (username.length >= TOKEN_MIN_LENGTH) registerSecret(username);
    return;
  }
  registerSecret(credentials);
  registerSecret(`${username}:${password}`);
  for (const text of [credentials.slice(credentials.indexOf(':') + 1), password]) {
    registerSecret(text);
    for (const part of text.split(/[#%/:?@\s]/)) if (part.length >= PART_MIN_LENGTH) registerSecret(part);
  }
}

/** Variables with URLs, ours and those of the AWS SDK and of proxies. */
const URL_NAME = /^(?:(?:BRIDGE_)?MQTT_URL|KINESIS_TARGET|AWS_ENDPOINT_URL\w*|AWS_CONTAINER_CREDENTIALS_FULL_URI|\w+_PROXY)$/i;
const AWS_SECRET_NAME = /^AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CONTAINER_AUTHORIZATION_TOKEN)$/;

/** Makes known what an environment holds: keys of AWS, and the credentials in URLs of brokers, endpoints and proxies. */
export function registerEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value = ''] of Object.entries(environment)) {
    if (URL_NAME.test(name) && value.includes('@')) registerUrl(value);
    if (AWS_SECRET_NAME.test(name) && value.trim().length >= TOKEN_MIN_LENGTH) registerSecret(value.trim());
  }
}

/** The text with all credentials replaced by `***`. */
export function maskSecrets(text: string): string {
  let masked = text;
  // Before the known secrets: one of them may be part of the words that a form begins with.
  if (SUSPICIOUS.test(masked)) for (const [form, replacement] of FORMS) masked = masked.replace(form, replacement);
  for (const { text: secret, pattern } of spellings())
    if (masked.includes(secret)) masked = pattern === undefined ? masked.replaceAll(secret, MASK) : masked.replace(pattern, MASK);
  // After them: a password may contain what ends a URL in a text.
  return masked.replace(URL_FORM, `$1${MASK}@`);
}

/** Whether masking could change this text. Quicker than masking; may be true without need. */
export function mayHoldSecret(text: string): boolean {
  return SUSPICIOUS.test(text) || spellings().some(({ text: secret }) => text.includes(secret));
}
