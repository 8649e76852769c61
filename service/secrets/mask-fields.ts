/** Hides credentials in structured messages, which must stay what they are: only the texts in them change. */
import { maskSecrets, mayHoldSecret } from './mask.ts';

/** Fields of log lines that programs compare; their values are ours. */
const IDENTIFIERS = new Set(['level', 'time', 'service', 'event', 'code']);
/** Fields whose value is a credential, whatever it looks like. */
const SECRET_FIELD = /^(?:.*(?:password|passwd|secret|token|cookie|authorization).*|key|access_?key_?id)$/i;
const DEPTH_MAX = 20;

function maskValue(name: string, value: unknown, depth: number): unknown {
  if (typeof value === 'string') {
    if (depth === 1 && IDENTIFIERS.has(name)) return value;
    return SECRET_FIELD.test(name) ? '***' : maskSecrets(value);
  }
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => maskValue(name, item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [maskSecrets(key), maskValue(key, item, depth + 1)]));
}

/** A log line (JSON and a line break) without credentials. */
export function maskLine(line: string): string {
  if (!mayHoldSecret(line)) return line;
  try {
    return `${JSON.stringify(maskValue('', JSON.parse(line), 0))}\n`;
  } catch {
    return maskSecrets(line);
  }
}

/** Fields of statuses that are texts for people. */
const TEXT_FIELDS = new Set(['reason', 'detail', 'message', 'error', 'target_name']);

/** For `JSON.stringify` of a message to other services: hides credentials in its texts for people. */
export function maskTexts(name: string, value: unknown): unknown {
  return typeof value === 'string' && TEXT_FIELDS.has(name) ? maskSecrets(value) : value;
}
