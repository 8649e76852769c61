/** Who a client is, and what it may do. */
import type { RightsCheck } from './rights.ts';

/** Where a connection comes from. */
export interface Peer {
  address: string;
  /** It came in through a listener that only this machine reaches. */
  loopback: boolean;
  /** It came in through the listener for the services of this box: no other client is accepted there. */
  servicesOnly?: boolean;
  /** Called when the client has sent its CONNECT, and when its login was refused and only the answer is still to come. */
  onLoginStage?: (stage: 'login' | 'refused') => void;
  /** Called when the client has logged in: it is no longer half-open. */
  onLogin?: () => void;
  /** Names its connection in what the system tells of unread bytes (service/network/unread-bytes.ts). */
  connection?: string;
  /** Ends the connection at once: what the system still holds for it is dropped, and not kept until the client has read it. */
  reset?: () => void;
}

/** Who a client is, and what it may do. */
export interface Identity {
  /** `bridge`: the bridge of another box, with a key made by `hr-gateway users add --bridge`. */
  kind: 'service' | 'bridge' | 'user' | 'anonymous';
  /** Empty for anonymous clients. */
  name: string;
  rights: RightsCheck;
}
