/** MQTT_URL taken apart. Name and password may have any characters: `:`, `@`, `/` and `#` too, as they are or percent-encoded. */
export interface BrokerUrl {
  /** Without credentials. */
  address: string;
  hostname: string;
  username: string | undefined;
  password: string;
}

/** `%` that encodes nothing stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The last `@` ends the credentials, their first `:` ends the name. Throws TypeError if what remains is no URL. */
export function parseBrokerUrl(text: string): BrokerUrl {
  const [, scheme = '', credentials, host = text] = /^([a-z]+:\/\/)(?:(.*)@)?([^@]*)$/is.exec(text) ?? [];
  const address = `${scheme}${host}`;
  const { hostname } = new URL(address);
  if (credentials === undefined || credentials === '') return { address, hostname, username: undefined, password: '' };
  const colon = credentials.indexOf(':');
  const name = colon < 0 ? credentials : credentials.slice(0, colon);
  return { address, hostname, username: decoded(name), password: colon < 0 ? '' : decoded(credentials.slice(colon + 1)) };
}
