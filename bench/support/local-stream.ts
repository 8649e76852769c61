/** The product's local stream in a benchmark. */
import type { Pipeline } from './pipeline.ts';
import { startProduct, type Child } from './child.ts';
import type { Scratch } from './scratch.ts';

/** The port of the local stream of a running `npm start`. */
export async function localStreamPort(pipeline: Pipeline): Promise<number> {
  const line = await pipeline.processes['start']?.line(
    ({ event, service }) => event === 'listening' && service === 'local-kinesis',
  );
  return Number(line?.['port']);
}

/** Starts the local stream in a separate process. */
export async function startLocalStream(
  scratch: Scratch,
  settings: Record<string, string> = {},
): Promise<{ port: number; child: Child }> {
  const child = startProduct(scratch, 'local-kinesis/main', { DATA_DIR: scratch.folder(), LOCAL_KINESIS_PORT: '0', ...settings });
  const { port } = await child.line(({ event }) => event === 'listening');
  return { port: Number(port), child };
}
