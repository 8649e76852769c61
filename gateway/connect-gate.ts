/** What a CONNECT must fulfil: its fields, the login, the rights of its will, a client id that nobody else has, a place. */
import type { AuthErrorCode, AuthenticateError, Client, ConnectPacket } from 'aedes';
import type { Config } from '../service/config/config.ts';
import type { Logger } from '../service/log/log.ts';
import type { Access, Login } from './access.ts';
import type { Limit } from './breach-kinds.ts';
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

/** CONNACK of MQTT 5 (section 3.2): no session, reason code 0x84 (unsupported protocol version), no properties. */
const CONNACK_UNSUPPORTED_VERSION = Buffer.from([0x20, 3, 0, 0x84, 0]);
/** Clients of MQTT 5 that are remembered, so that each is named once; beyond this no further one is. */
const NAMED_MAX = 1000;

const connackOf = (code: number): Buffer => Buffer.from([0x20, 2, 0, code]);

type Done = (error: AuthenticateError | null, success: boolean | null) => void;

function willFaultOf(identity: Identity, topic: string): 'will_right' | 'will_reading' | undefined {
  if (!identity.rights.mayPublish(topic)) return 'will_right';
  return identity.kind === 'user' && isUnderHr(topic) ? 'will_reading' : undefined;
}

/** Aedes' types know only the versions that it speaks. */
const isOfVersion5 = ({ protocolVersion }: { protocolVersion?: number }): boolean => protocolVersion === 5;

function authError(message: string, returnCode: AuthErrorCode): AuthenticateError {
  return Object.assign(new Error(message), { returnCode });
}

export class ConnectGate {
  readonly #options: ConnectGateOptions;
  readonly #named = new Set<string>();

  constructor(options: ConnectGateOptions) {
    this.#options = options;
  }

  /** The CONNACK that refuses a CONNECT before the login, or undefined. */
  refusalOf(client: Client, packet: ConnectPacket): Buffer | undefined {
    // A client of MQTT 5 expects the packet of its own version: it takes the other one for malformed, and reports nothing of use.
    if (isOfVersion5(packet)) {
      this.#nameVersion5(client, packet);
      return CONNACK_UNSUPPORTED_VERSION;
    }
    const fault = this.#faultOf(client, packet);
    return fault === undefined ? undefined : connackOf(fault);
  }

  #nameVersion5(client: Client, { clientId }: ConnectPacket): void {
    const { address } = peerOf(client);
    const id = clientId.slice(0, CLIENT_ID_MAX_BYTES);
    const key = `${address} ${id}`;
    if (this.#named.has(key) || this.#named.size >= NAMED_MAX) return;
    this.#named.add(key);
    this.#options.log.warn(
      { event: 'mqtt5_refused', address, client_id: id },
      'refusing a client of MQTT 5: set it to MQTT 3.1.1 (docs/mqtt-clients.md)',
    );
  }

  #faultOf(client: Client, packet: ConnectPacket): number | undefined {
    const { breaches, limits, topics } = this.#options;
    const refused = (limit: Limit, code: number): number => {
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
    peer.onLoginStage?.('login');
    const login = await access.authenticate(username, password?.toString(), peer).catch((error: unknown): Login => {
      log.warn({ event: 'login_failed', err: error }, 'a login could not be checked');
      return { identity: undefined, delayMs: 0, reason: 'it could not be checked' };
    });
    if (login.identity !== undefined) return this.admit(client, login.identity, done);
    // The name is only a claim: the address is what is known.
    const { address } = peer;
    peer.onLoginStage?.('refused');
    breaches.add(
      'login',
      { address, user: (username ?? '').slice(0, 64) },
      { blame: partyName({ address }), reason: login.reason },
    );
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
      breaches.add(willFault, { user: identity.name, address: peer.address, topic: will.topic.slice(0, 100) });
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
