/**
 * Counts what the connections of HTTP agents send and receive, in bytes: with TLS, what is sent as it is on the wire, and what is received
 * after decryption (Node tells no other number), a few per cent less. What a connection had counted stays when it closes.
 */
import type { Agent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { WireBytes } from './sink.ts';

/** What Node calls for each request that an agent carries; agents of proxies have it, too. */
interface RequestCarrier {
  addRequest(request: ClientRequest, ...rest: unknown[]): unknown;
}

const isCarrier = (agent: object): agent is RequestCarrier => 'addRequest' in agent && typeof agent.addRequest === 'function';

export class WireMeter {
  readonly #open = new Set<Socket>();
  #sent = 0;
  #received = 0;

  get bytes(): WireBytes {
    let sent = this.#sent;
    let received = this.#received;
    for (const socket of this.#open) {
      sent += socket.bytesWritten;
      received += socket.bytesRead;
    }
    return { sent, received };
  }

  /** Counts the connections of this agent from now on. */
  watch(agent: Agent): void {
    if (!isCarrier(agent)) return;
    const carrier: RequestCarrier = agent;
    const addRequest = carrier.addRequest.bind(agent);
    carrier.addRequest = (request, ...rest) => {
      request.once('socket', (socket) => this.#count(socket));
      return addRequest(request, ...rest);
    };
  }

  #count(socket: Socket): void {
    if (this.#open.has(socket)) return;
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#sent += socket.bytesWritten;
      this.#received += socket.bytesRead;
    });
  }
}
