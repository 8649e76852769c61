/**
 * A broker alone, as the reference for the whole pipeline. Runs as a separate process: one publisher keeps INFLIGHT messages of BYTES in
 * flight (QoS 1, MQTT.js) to one subscriber of the broker at MQTT_URL. Reports messages per second at the subscriber.
 */
import { connectAsync } from 'mqtt';
import type { Socket } from 'node:net';

const url = process.env['MQTT_URL'] ?? '';
const seconds = Number(process.env['SECONDS'] ?? 5);
const qos = Number(process.env['QOS'] ?? 1) === 1 ? 1 : 0;
const inFlight = Number(process.env['INFLIGHT'] ?? 100);
const payload = Buffer.alloc(Number(process.env['BYTES'] ?? 200), 'x');

const subscriber = await connectAsync(url, { clean: true });
const publisher = await connectAsync(url, { clean: true });
for (const client of [subscriber, publisher]) (client.stream as Partial<Socket>).setNoDelay?.(true);
await subscriber.subscribeAsync('bench/+', { qos });
let received = 0;
let running = true;
let under = 0;
subscriber.on('message', () => {
  received += 1;
  under -= 1;
  if (under < inFlight / 2) fill();
});
function fill(): void {
  while (running && under < inFlight) {
    under += 1;
    publisher.publish('bench/hop', payload, { qos });
  }
}
fill();
await new Promise((resolve) => setTimeout(resolve, 1000));
const [began, before] = [performance.now(), received];
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const perSecond = ((received - before) * 1000) / (performance.now() - began);
running = false;
console.log(JSON.stringify({ event: 'done', per_second: perSecond, received }));
subscriber.end(true);
publisher.end(true);
setTimeout(() => process.exit(0), 100);
