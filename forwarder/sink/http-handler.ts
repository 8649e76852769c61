/** How requests to AWS are sent: kept connections, the time limits of the SDK, proxies and certificate authorities of the environment. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions } from 'node:https';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import { sdkEnvironment } from '../../service/config/config.ts';
import { proxyFor } from '../../service/network/proxy-choice.ts';

export interface HttpTimeouts {
  connectMs: number;
  requestMs: number;
  /** The SDK's request timeout does not cover a stalled body; the socket's timeout does. */
  socketMs: number;
}

export interface Agents {
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
}

const SOCKETS_MAX = 16;

/** Agents that use the proxies of the environment, or connect directly if NO_PROXY names the host. */
async function proxyAgents(direct: Agents, options: AgentOptions): Promise<Agents> {
  const { ProxyAgent } = await import('proxy-agent');
  const shared = {
    ...options,
    ...direct,
    maxSockets: SOCKETS_MAX,
    getProxyForUrl: (url: string) => proxyFor(url, sdkEnvironment().proxies),
  };
  // A plain request through a proxy names its whole URL, which the agent writes only for the first request of a connection.
  const httpAgent = new ProxyAgent({ ...shared, keepAlive: false });
  const httpsAgent = new ProxyAgent({ ...shared, keepAlive: true });
  return { httpAgent: httpAgent as unknown as HttpAgent, httpsAgent: httpsAgent as unknown as HttpsAgent };
}

/** `options`: of TLS, for the endpoint and for a proxy that is reached by TLS. `proxied`: whether proxies count. */
export async function makeAgents(options: AgentOptions, { proxied }: { proxied: boolean }): Promise<Agents> {
  const all = { keepAlive: true, maxSockets: SOCKETS_MAX, noDelay: true, ...options };
  const direct = { httpAgent: new HttpAgent(all), httpsAgent: new HttpsAgent(all) };
  return proxied && sdkEnvironment().hasProxy ? await proxyAgents(direct, all) : direct;
}

/** A handler with its own connections: `destroy()` closes them. */
export async function makeHttpHandler(
  agents: Agents,
  { connectMs, requestMs, socketMs }: HttpTimeouts,
): Promise<NodeHttpHandler> {
  const { NodeHttpHandler: Handler } = await import('@smithy/node-http-handler');
  // The SDK's default handler opens a connection per request, and fails on http:// endpoints.
  return new Handler({
    ...agents,
    connectionTimeout: connectMs,
    requestTimeout: requestMs,
    socketTimeout: socketMs,
    throwOnRequestTimeout: true,
  });
}
