/** Aedes as configured in its README: no limits, no rights, no ordering. The reference broker, in a separate process. */
import { createServer, type AddressInfo } from 'node:net';
import { Aedes } from 'aedes';

const aedes = await Aedes.createBroker();
const server = createServer({ noDelay: true }, (socket) => void aedes.handle(socket));
server.listen(0, '127.0.0.1', () =>
  console.log(JSON.stringify({ event: 'listening', port: (server.address() as AddressInfo).port })),
);
