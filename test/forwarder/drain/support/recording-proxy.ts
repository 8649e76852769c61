/** An HTTP proxy that records its traffic: the access keys of plain requests, and the hosts of tunnels. */
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface RecordingProxy {
  url: string;
  /** Access keys of the received requests, in order. */
  accessKeys: string[];
  /** `host:port` of requested tunnels; all are refused. */
  tunnels: string[];
}

export async function startRecordingProxy(t: Pick<TestContext, 'after'>): Promise<RecordingProxy> {
  const accessKeys: string[] = [];
  const tunnels: string[] = [];
  const server = createServer((request, response) => {
    accessKeys.push(/Credential=([^/]+)\//.exec(String(request.headers.authorization))?.[1] ?? '');
    const onward = httpRequest(String(request.url), { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, socket) => {
    tunnels.push(String(request.url));
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, accessKeys, tunnels };
}

/** Sets environment variables for a test; undefined removes one. */
export function withEnvironment(t: Pick<TestContext, 'after'>, variables: Readonly<Record<string, string | undefined>>): void {
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    t.after(() => set(name, before));
    set(name, value);
  }
}
