/** What a CONNECT must fulfil: its fields, the login, the rights of its will, a client id that nobody else has, a place. */
import type { AuthErrorCode, AuthenticateError, Client, ConnectPacket } from 'aedes';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { Access, Login } from './access.ts';
import { partyName, type Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import { peerOf, type ClientRegistry } from './client-registry.ts';
import type { Identity, Peer } from './identity.ts';
import { isUnderHr } from './publish-adopter.ts';
import type { TopicLimits } from './topic-limits.ts';

export const REFUSED_IDENTIFIER = 2 as AuthErrorCode;
const REFUSED_UNAVAILABLE = 3 as AuthErrorCode;
const REFUSED_NOT_AUTHORIZED = 5 as AuthErrorCode;
export const CLIENT_ID_MAX_BYTES = 128;

export interface ConnectGateOptions {
  config: Pick<Config, 'MQTT_MAX_CONNECTIONS'>;
  log: Logger;
  access: Access;
  breaches: Breaches;
  limits: ClientLimits;
  registry: ClientRegistry;
  topics: TopicLimits;
  /** Who has this client id at the moment. */
  holderOf: (clientId: string) => Identity | undefined;
}

type Done = (error: AuthenticateError | null, success: boolean | null) => void;

function willFaultOf(identity: Identity, topic: string): 'will_right' | 'will_reading' | undefined {
  if (!identity.rights.mayPublish(topic)) return 'will_right';
  return identity.kind === 'user' && isUnderHr(topic) ? 'will_reading' : undefined;
}

function authError(message: string, returnCode: AuthErrorCode): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

export class ConnectGate {
  readonly #options: ConnectGateOptions;

  constructor(options: ConnectGateOptions) {
    this.#options = options;
  }

  /** The CONNACK code that refuses a CONNECT before the login, or undefined. */
  faultOf(client: Client, packet: ConnectPacket): number | undefined {
    const { breaches, limits, topics } = this.#options;
    const refused = (limit: string, code: number): number => {
      breaches.add(limit, { address: peerOf(client).address });
      return code;
    };
    if (packet.clientId === '' && packet.clean === false) return REFUSED_IDENTIFIER;
    if (Buffer.byteLength(packet.clientId) > CLIENT_ID_MAX_BYTES) return refused('client_id_bytes', REFUSED_IDENTIFIER);
    const { will } = packet;
    if (will === undefined) return undefined;
    const topicFault = topics.faultOf(will.topic);
    if (topicFault !== undefined) return refused(topicFault, REFUSED_NOT_AUTHORIZED);
    if (will.payload.length > limits.willBytes) return refused('will_bytes', REFUSED_NOT_AUTHORIZED);
    return undefined;
  }

  async authenticate(client: Client, username: string | undefined, password: Buffer | undefined, done: Done): Promise<void> {
    const { access, breaches, log } = this.#options;
    const peer = peerOf(client);
    const login = await access.authenticate(username, password?.toString(), peer).catch((error: unknown): Login => {
      log.warn({ event: 'login_failed', err: error }, 'a login could not be checked');
      return { identity: undefined, delayMs: 0 };
    });
    if (login.identity !== undefined) return this.admit(client, login.identity, done);
    // The name is only a claim: the address is what is known.
    const { address } = peer;
    breaches.add('login', { address, user: (username ?? '').slice(0, 64) }, { blame: partyName({ address }) });
    setTimeout(() => done(authError('wrong name or password', REFUSED_NOT_AUTHORIZED), null), login.delayMs).unref();
  }

  /** The client is who it says it is. */
  admit(client: Client, identity: Identity, done: Done): void {
    const peer = peerOf(client);
    const fault = this.#faultOfIdentity(client, identity, peer);
    if (fault !== undefined) return done(fault, null);
    this.#options.registry.add(client, identity);
    peer.onLogin?.();
    done(null, true);
  }

  #faultOfIdentity(client: Client, identity: Identity, peer: Peer): AuthenticateError | undefined {
    const { breaches } = this.#options;
    // A will must not be a way around the client's rights, and a reading is never late.
    const will = (client as Client & { _will?: { topic: string } | null })._will;
    const willFault = will === undefined || will === null ? undefined : willFaultOf(identity, will.topic);
    if (will !== undefined && will !== null && willFault !== undefined) {
      breaches.add(willFault, { user: identity.name, topic: will.topic.slice(0, 100) });
      return authError('not allowed to publish this will', REFUSED_NOT_AUTHORIZED);
    }
    // Taking over a client id closes the session that has it: only the same user may do that.
    const holder = this.#options.holderOf(client.id);
    if (holder !== undefined && (holder.kind !== identity.kind || holder.name !== identity.name)) {
      breaches.add('client_id_taken', { user: identity.name, address: peer.address });
      return authError("this client id is another user's", REFUSED_IDENTIFIER);
    }
    if (!this.#hasPlace(identity, peer)) {
      breaches.add('connections_of_anonymous', { address: peer.address });
      return authError('too many anonymous clients of this address', REFUSED_UNAVAILABLE);
    }
    return undefined;
  }

  /** Anonymous clients leave some of an address's connections to users: behind Docker all clients share one address. */
  #hasPlace(identity: Identity, peer: Peer): boolean {
    if (identity.kind !== 'anonymous') return true;
    const { config, limits, registry } = this.#options;
    const ofAddress = Math.floor(config.MQTT_MAX_CONNECTIONS * limits.connectionsShareOfAddress);
    const reserved = Math.floor(ofAddress * limits.connectionsShareOfUsers);
    return (registry.partyOf(identity, peer)?.connections ?? 0) < Math.max(1, ofAddress - reserved);
  }
}
