/** `npm start` as tests run it: one process on free ports, its banner parsed. */
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../../support/product-process.ts';

export interface OneProcess extends ProductProcess {
  /** Waits for the banner and returns its addresses. */
  addresses(): Promise<{ admin: string; stream: string; mqttPort: number; wsPort: number }>;
}

/** Starts all services in one process; with simulated straps by default. */
export function startOneProcess(
  t: Pick<TestContext, 'after'>,
  dataDir: string,
  environment: Record<string, string> = {},
  options: { nodeArgs?: string[] } = {},
): OneProcess {
  const product = startProduct(
    t,
    'start',
    {
      DATA_DIR: dataDir,
      MQTT_LISTEN_PORT: '0',
      MQTT_LISTEN_WS_PORT: '0',
      ADMIN_PORT: '0',
      LOCAL_KINESIS_PORT: '0',
      ...environment,
    },
    options,
  );
  return {
    ...product,
    async addresses() {
      return await eventually(
        () => {
          if (product.child.exitCode !== null) throw new Error(`ended: ${product.output()}`);
          const output = product.output();
          const admin = /page\s+(http:\/\/\S+?)\/?\s/.exec(output)?.[1];
          const stream = /local stream on (http:\/\/\S+)/.exec(output)?.[1];
          const broker = /mqtt:\/\/[^:]+:(\d+)\s+ws:\/\/[^:]+:(\d+)/.exec(output);
          if (admin === undefined || broker === null) return undefined;
          return { admin, stream: stream ?? '', mqttPort: Number(broker[1]), wsPort: Number(broker[2]) };
        },
        { withinMs: 60_000, what: 'the banner' },
      );
    },
  };
}

export async function getJson<T>(url: string): Promise<T> {
  const answer = await fetch(url);
  if (!answer.ok && answer.status !== 503) throw new Error(`${url}: ${answer.status}`);
  return (await answer.json()) as T;
}

export interface QueueAnswer {
  depth: number;
  ledger: { accepted: number; shipped: number; queued: number; dead: number; evicted: number; missed: number };
}
