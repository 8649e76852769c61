/** URLs with credentials, which people write with any characters: `@`, `:`, `/`, `#`, `?` and `%`, as they are or percent-encoded. */

export interface SplitUrl {
  /** `mqtt://`; empty if the text has none. */
  scheme: string;
  /** Name and password as written; undefined without an `@`. */
  credentials: string | undefined;
  /** Host, port and path. */
  rest: string;
}

/** Takes a URL apart: the last `@` ends the credentials. Never throws; the text need not be a valid URL. */
export function splitUrl(text: string): SplitUrl {
  const [, scheme = '', credentials, rest = text] = /^([a-z][a-z0-9+.-]*:\/{0,2})?(?:(.*)@)?([^@]*)$/is.exec(text.trim()) ?? [];
  return { scheme, credentials, rest };
}

/** The URL without its credentials: safe to print, and to give to libraries that divide URLs in another way. */
export function withoutCredentials(text: string): string {
  const { scheme, rest } = splitUrl(text);
  return `${scheme}${rest}`;
}

/** Decodes percent-encoding; a `%` that encodes nothing stands for itself. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Name and password of a URL, decoded: the first `:` ends the name. Undefined without credentials. */
export function credentialsOf(text: string): { username: string; password: string } | undefined {
  const { credentials } = splitUrl(text);
  if (credentials === undefined || credentials === '') return undefined;
  const colon = credentials.indexOf(':');
  const name = colon < 0 ? credentials : credentials.slice(0, colon);
  return { username: percentDecoded(name), password: colon < 0 ? '' : percentDecoded(credentials.slice(colon + 1)) };
}

/** Hides the credentials of a text that is one URL, valid or not. A `:` that no port follows may begin a password whose `@` is missing. */
export function maskUrl(text: string): string {
  const { scheme, credentials, rest } = splitUrl(text);
  if (credentials !== undefined) return `${scheme}***@${rest}`;
  const colon = rest.replace(/^\[[^\]]*\]/, (address) => '_'.repeat(address.length)).search(/:(?!\d{1,5}(?:[/?#]|$))/);
  const slash = rest.search(/[/?#]/);
  if (scheme === '' || colon < 0 || (slash >= 0 && slash < colon)) return `${scheme}${rest}`;
  return `${scheme}***`;
}
