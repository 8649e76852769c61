/** The product as `docker compose up` runs it: the processes of its containers, and the layers of its image. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SERVICE_NAMES } from '../../contract/topics.ts';
import { progress } from './options.ts';
import type { Scratch } from './scratch.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PROJECT = 'hr-gateway-bench';
const BASE = 'node:24-bookworm-slim';

function docker(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('docker', args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, COMPOSE_PROJECT_NAME: PROJECT, GATEWAY_NAME: 'bench', SIMULATED_STRAPS: '2' },
  });
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr.slice(-1000)}`);
  return stdout.trim();
}

/** Whether a Docker engine is available. */
export const hasDocker = (): boolean => spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0;

/** Builds the image and starts all services with 2 straps on the ports of docker-compose.yml. Returns host process ids by service. */
export function startContainers(scratch: Scratch): Record<string, number> {
  progress('building the image');
  docker(['compose', 'build', '--quiet']);
  scratch.after(async () => void (await Promise.resolve(docker(['compose', 'down', '-v', '--timeout', '12']))));
  docker(['compose', 'up', '-d', '--wait', '--wait-timeout', '180']);
  return Object.fromEntries(
    SERVICE_NAMES.map((service) => [
      service,
      Number(docker(['inspect', '-f', '{{.State.Pid}}', docker(['compose', 'ps', '-q', service])])),
    ]),
  );
}

/** Bytes that our layers add to the base image. */
export function layerBytes(): number {
  const size = (image: string): number => Number(docker(['image', 'inspect', '-f', '{{.Size}}', image]));
  return size('hr-gateway') - size(BASE);
}
