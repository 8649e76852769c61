/** A subscriber with a persistent session at QoS 1, in a separate process: the reason for a broker to store what others publish. */
import { connectAsync } from 'mqtt';

let received = 0;
const client = await connectAsync(process.env['MQTT_URL'] ?? '', {
  clean: false,
  clientId: 'keeps-everything',
  protocolVersion: 4,
});
client.on('message', () => {
  received += 1;
});
await client.subscribeAsync('hr/+/bpm', { qos: 1 });
console.log(JSON.stringify({ event: 'subscribed' }));
setInterval(() => console.log(JSON.stringify({ event: 'received', received })), 100);
