/** Measures a flow of readings through a pipeline: marks heard, CPU a reading by process, latency from publish to mark. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startHelper, type Child } from './child.ts';
import type { Pipeline } from './pipeline.ts';
import { usageOf, type Usage } from './process-usage.ts';
import type { Scratch } from './scratch.ts';

export interface FlowOptions {
  publishers?: number;
  /** Straps a publisher. */
  devices?: number;
  /** Size of a reading's JSON. */
  bytes?: number;
  /** Readings a second; 0: as fast as the marks come. */
  rate?: number;
  warmUpMs: number;
  seconds: number;
  /** Further processes whose CPU is counted. */
  also?: Record<string, Child>;
}

export interface Flow {
  /** Readings a second whose mark was heard, in the measured span. */
  acceptedPerSecond: number;
  /** Between the first and the last `progress` of the span. */
  seconds: number;
  accepted: number;
  /** Microseconds of CPU a reading, by process. */
  cpuMicroseconds: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  sent: number;
  /** Of them again, because their mark took long. */
  resent: number;
  stored: number;
}

/** Runs publishers against a pipeline. Throws where a reading that was sent has no mark at the end. */
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
  await publishers.line(({ event, stored: heard }) => event === 'progress' && Number(heard) > 0);
  await sleep(options.warmUpMs);
  await during('begin');
  const [beginMs, beginStored, before] = [ms, stored, usages()];
  await sleep(options.seconds * 1000);
  const [endMs, endStored, after] = [ms, stored, usages()];
  await during('end');
  publishers.say({ stop: true });
  const done = await publishers.line(({ event }) => event === 'done');
  const accepted = endStored - beginStored;
  if (done['sent'] !== done['stored']) throw new Error(`sent ${String(done['sent'])}, marks for ${String(done['stored'])}`);
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
