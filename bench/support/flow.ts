/** Measures a flow of readings through a pipeline: confirmations, CPU per reading and process, latency from publish to confirmation. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startHelper, type Child } from './child.ts';
import type { Pipeline } from './pipeline.ts';
import { usageOf, type Usage } from './process-usage.ts';
import type { Scratch } from './scratch.ts';

export interface FlowOptions {
  publishers?: number;
  /** Straps per publisher. */
  devices?: number;
  /** Size of a reading's JSON. */
  bytes?: number;
  /** Readings per second; 0: as fast as they are confirmed. */
  rate?: number;
  warmUpMs: number;
  seconds: number;
  /** Additional processes whose CPU is measured. */
  also?: Record<string, Child>;
}

export interface Flow {
  /** Readings per second confirmed in the measured span. */
  acceptedPerSecond: number;
  /** Between the first and the last `progress` line of the span. */
  seconds: number;
  accepted: number;
  /** Microseconds of CPU per reading, by process. */
  cpuMicroseconds: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  sent: number;
  /** Readings sent again because their confirmation took too long. */
  resent: number;
  stored: number;
}

/** Runs publishers against a pipeline. Throws if a reading that was sent is not confirmed at the end. */
export async function flow(
  scratch: Scratch,
  pipeline: Pipeline,
  options: FlowOptions,
  during: (elapsed: 'begin' | 'end') => Promise<void> = async () => {},
): Promise<Flow> {
  const publishers = startHelper(scratch, 'support/publishers.ts', {
    MQTT_URL: pipeline.mqttUrl,
    DATA_DIR: pipeline.dataDir,
    PUBLISHERS: String(options.publishers ?? 1),
    DEVICES: String(options.devices ?? 1),
    BYTES: String(options.bytes ?? 200),
    RATE: String(options.rate ?? 0),
  });
  const watched: Record<string, Child> = { ...pipeline.processes, ...options.also, publishers };
  const usages = (): Record<string, Usage> =>
    Object.fromEntries(Object.entries(watched).map(([name, { pid }]) => [name, usageOf(pid)]));
  let ms = 0;
  let stored = 0;
  publishers.process.stdout?.on('data', (chunk: Buffer) => {
    for (const text of chunk.toString().split('\n')) {
      const progress = /"ms":([\d.]+),"stored":(\d+)/.exec(text);
      if (progress !== null) {
        ms = Number(progress[1]);
        stored = Number(progress[2]);
      }
    }
  });
  await publishers.line(({ event, stored: confirmed }) => event === 'progress' && Number(confirmed) > 0);
  await sleep(options.warmUpMs);
  await during('begin');
  const [beginMs, beginStored, before] = [ms, stored, usages()];
  await sleep(options.seconds * 1000);
  const [endMs, endStored, after] = [ms, stored, usages()];
  await during('end');
  publishers.say({ stop: true });
  const done = await publishers.line(({ event }) => event === 'done');
  const accepted = endStored - beginStored;
  if (done['sent'] !== done['stored']) throw new Error(`sent ${String(done['sent'])}, confirmed ${String(done['stored'])}`);
  return {
    acceptedPerSecond: (accepted * 1000) / (endMs - beginMs),
    seconds: (endMs - beginMs) / 1000,
    accepted,
    cpuMicroseconds: Object.fromEntries(
      Object.keys(watched).map((name) => [
        name,
        (((after[name]?.cpuSeconds ?? 0) - (before[name]?.cpuSeconds ?? 0)) * 1e6) / accepted,
      ]),
    ),
    p50Ms: Number(done['p50_ms']),
    p99Ms: Number(done['p99_ms']),
    sent: Number(done['sent']),
    resent: Number(done['resent']),
    stored: Number(done['stored']),
  };
}
