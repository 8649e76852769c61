/** An HTTP server in front of a stream that passes everything on, and counts the records of PutRecords requests and answers. */
import { createServer, request as httpRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface CountingFront {
  endpoint: string;
  sent: number;
  accepted: number;
  controlCalls: number;
}

export async function startCountingFront(t: Pick<TestContext, 'after'>, endpoint: string): Promise<CountingFront> {
  const front: CountingFront = { endpoint: '', sent: 0, accepted: 0, controlCalls: 0 };
  const server = createServer((incoming, response) => {
    const isPut = String(incoming.headers['x-amz-target']).endsWith('.PutRecords');
    const onward = httpRequest(
      `${endpoint}${incoming.url ?? ''}`,
      { method: incoming.method, headers: incoming.headers },
      (answer) => {
        void buffer(answer).then((body) => {
          if (!isPut) front.controlCalls += 1;
          else if (answer.statusCode === 200) {
            const { Records, FailedRecordCount } = JSON.parse(body.toString()) as {
              Records: unknown[];
              FailedRecordCount: number;
            };
            front.sent += Records.length;
            front.accepted += Records.length - FailedRecordCount;
          }
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          response.end(body);
        });
      },
    );
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  front.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return front;
}
