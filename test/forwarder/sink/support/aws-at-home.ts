/**
 * AWS as a box sees it: an HTTPS server with a certificate for AWS' names, reached through a proxy that leads every tunnel to it. Kinesis
 * requests go on to a local stream; others are answered by the test.
 */
import { readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { CertificateFiles } from '../../../support/signed-certificates.ts';

export interface AwsRequest {
  /** Host header. */
  host: string;
  headers: IncomingMessage['headers'];
  body: string;
}

export interface AwsAtHome {
  /** For HTTPS_PROXY. */
  proxyUrl: string;
  /** `https://127.0.0.1:port`, without the proxy. */
  url: string;
  port: number;
  /** `host:port` of the tunnels. */
  tunnels: string[];
  requests: AwsRequest[];
}

export interface AwsOptions {
  certificate: CertificateFiles;
  /** Kinesis requests are sent on to this endpoint. */
  stream?: string;
  /** Answers a request; false: not its business. */
  answer?: (request: AwsRequest, response: ServerResponse) => boolean;
  /** Clock of the server: what is added to the time of this machine. */
  aheadMs?: number;
  host?: string;
}

type Scope = Pick<TestContext, 'after'>;

async function listening(t: Scope, server: ReturnType<typeof createServer>, host: string): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, host);
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

export async function startAwsAtHome(t: Scope, options: AwsOptions): Promise<AwsAtHome> {
  const { certificate, stream, answer, aheadMs = 0, host = '127.0.0.1' } = options;
  const requests: AwsRequest[] = [];
  const server = createTlsServer(
    { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) },
    (incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const taken = { host: incoming.headers.host ?? '', headers: incoming.headers, body };
        requests.push(taken);
        response.setHeader('date', new Date(Date.now() + aheadMs).toUTCString());
        if (answer?.(taken, response) === true) return;
        if (stream === undefined) return void response.writeHead(404).end();
        const { host: _, connection: __, ...headers } = incoming.headers;
        const onward = httpRequest(stream, { method: incoming.method, headers }, (answered) => {
          response.statusCode = answered.statusCode ?? 502;
          response.setHeader('content-type', answered.headers['content-type'] ?? '');
          answered.pipe(response);
        });
        onward.on('error', () => response.destroy());
        onward.end(body);
      });
    },
  );
  const port = await listening(t, server, host);
  const tunnels: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    tunnels.push(String(incoming.url));
    const onward = connect(port, host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.once('close', () => onward.destroy());
  });
  const proxyPort = await listening(t, proxy, '127.0.0.1');
  const shown = host.includes(':') ? `[${host}]` : host;
  return { proxyUrl: `http://127.0.0.1:${proxyPort}`, url: `https://${shown}:${port}`, port, tunnels, requests };
}
