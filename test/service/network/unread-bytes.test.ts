import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { connectionKey, parseUnreadBytes, readUnreadBytes } from '../../../service/network/unread-bytes.ts';
import { eventually } from '../../support/eventually.ts';

const HEADER =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                     \n';
const REST = '00:00000000 00000000  1000        0 1127 1 00000000c515293e 100 0 0 10 0';

test('what clients have not read is found by their address and port, over IPv4 and IPv6', () => {
  const rows = [
    `   0: 0100007F:075B 00000000:0000 0A 00000009:00000003 ${REST}`,
    `   1: 0100007F:075B 0100007F:89F7 01 002AC800:00000000 ${REST}`,
    `   2: 0100007F:075B 0200000A:0001 01 00000000:00000000 ${REST}`,
    `   3: 0000000000000000FFFF00000100007F:075B 0000000000000000FFFF00000700000A:C001 01 00000010:00000000 ${REST}`,
    `   4: 0000000000000000FFFF00000100007F:075B B80D01200200010000000000FFFF0000:C002 08 00000020:00000000 ${REST}`,
  ];
  const unread = parseUnreadBytes(HEADER + rows.join('\n') + '\n');
  assert.deepEqual(
    [
      ['127.0.0.1', 0x89f7],
      ['10.0.0.2', 1],
      ['::ffff:10.0.0.7', 0xc001],
      ['2001:db8:1:2::ffff', 0xc002],
    ].map(([remoteAddress, remotePort]) =>
      unread.get(connectionKey({ localPort: 0x75b, remoteAddress: String(remoteAddress), remotePort: Number(remotePort) })),
    ),
    [0x2ac800, undefined, 0x10, 0x20],
  );
  assert.equal(unread.size, 3);
});

for (const host of ['127.0.0.1', '::1'])
  test(`a client of ${host} that does not read is measured, and is not any more once it reads`, async (t) => {
    const server = createServer();
    t.after(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect((server.address() as AddressInfo).port, host);
    t.after(() => client.destroy());
    const [socket] = await accepted;
    t.after(() => socket.destroy());
    client.pause();
    // More than the buffers of both ends take.
    socket.write(Buffer.alloc(64 * 1024 * 1024));
    const unreadBytes = async (): Promise<number> => (await readUnreadBytes()).get(connectionKey(socket)) ?? 0;
    await eventually(async () => (await unreadBytes()) > 100_000, { what: 'unread bytes' });
    client.resume();
    await eventually(async () => socket.writableLength === 0 && (await unreadBytes()) === 0, { what: 'everything read' });
  });
