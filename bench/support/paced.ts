/** Publishes RATE readings of BYTES per second on hr/strap-0/bpm at QoS 0, in a separate process: the input of the script. */
import type { Socket } from 'node:net';
import { connectAsync } from 'mqtt';

const rate = Number(process.env['RATE'] ?? 2);
const bytes = Number(process.env['BYTES'] ?? 200);
const client = await connectAsync(process.env['MQTT_URL'] ?? '', { clean: true });
(client.stream as Partial<Socket>).setNoDelay?.(true);
const rr = Array.from({ length: Math.max(0, Math.round((bytes - 210) / 6)) }, (_, index) => 700 + (index % 90) + 0.5);
let seq = 0;
const everyMs = Math.max(10, 1000 / rate);
let owed = 0;
setInterval(() => {
  owed += (rate * everyMs) / 1000;
  for (; owed >= 1; owed -= 1) {
    seq += 1;
    client.publish(
      'hr/strap-0/bpm',
      JSON.stringify({
        timestamp: new Date().toISOString(),
        heart_rate: 60 + (seq % 100),
        device: 'strap-0',
        gateway: 'bench',
        run: '0123456789abcdef',
        seq,
        rr_intervals_ms: rr,
        sensor_contact: true,
        energy_expended_kj: null,
        clock: 'synced',
      }),
      { qos: 0 },
    );
  }
}, everyMs);
