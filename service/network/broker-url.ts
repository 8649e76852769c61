/** MQTT_URL taken apart. Name and password may have any characters: `:`, `@`, `/` and `#` too, as they are or percent-encoded. */
import { credentialsOf, withoutCredentials } from '../secrets/url-credentials.ts';

export interface BrokerUrl {
  /** Without credentials. */
  address: string;
  hostname: string;
  username: string | undefined;
  password: string;
}

/** Throws TypeError if what remains without credentials is no URL; its message and properties name no credentials. */
export function parseBrokerUrl(text: string): BrokerUrl {
  const address = withoutCredentials(text);
  const { hostname } = new URL(address);
  return { address, hostname, username: undefined, password: '', ...credentialsOf(text) };
}
