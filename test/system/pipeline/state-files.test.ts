import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { Aedes } from 'aedes';
import type { Check } from '../../../contract/check.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson } from './support/one-process.ts';

const ON_FREE_PORTS = { MQTT_LISTEN_PORT: '0', MQTT_LISTEN_WS_PORT: '0', ADMIN_PORT: '0', LOCAL_KINESIS_PORT: '0' };

/** Waits until health names each of these files as damaged and kept. */
async function assertNamed(product: ProductProcess, files: readonly string[], folder: string): Promise<void> {
  await product.event('started');
  const page = /page\s+(http:\/\/\S+?)\/?\s/.exec(product.output())?.[1] ?? '';
  const damaged = await eventually(
    async () => {
      const { checks } = await getJson<{ checks: Check[] }>(`${page}/health`);
      const found = checks.filter(({ code }) => code === 'state_file_damaged');
      return found.length === files.length ? found : undefined;
    },
    { withinMs: 30_000, what: `${files.length} damaged files in health` },
  );
  for (const file of files) {
    const aside = readdirSync(folder).find((name) => name.startsWith(`${file}.damaged-`));
    assert.ok(
      damaged.some(
        ({ reason, hint }) => reason.startsWith(`${file} was damaged`) && reason.includes(aside ?? '?') && hint !== '',
      ),
      `${file}: ${JSON.stringify(damaged)}`,
    );
  }
}

test('a small file of any service that is damaged is named in health', async (t) => {
  const folder = tempDir(t);
  const files = ['devices.json', 'last-readings.json', 'device-claims.json'];
  for (const file of files) writeFileSync(path.join(folder, file), '{"not": [what it');
  const product = startProduct(t, 'start', { ...ON_FREE_PORTS, DATA_DIR: folder });
  await assertNamed(product, files, folder);
  assert.equal(await product.end(), 0, product.output());
});

test("so is the forwarder's file of strap names, on a broker where it takes other clients' readings", async (t) => {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await new Promise<void>((resolve) => aedes.close(() => server.close(() => resolve())));
  });
  const folder = tempDir(t);
  writeFileSync(path.join(folder, 'strap-names.json'), '[{"device":7}]');
  const product = startProduct(t, 'start', {
    ...ON_FREE_PORTS,
    DATA_DIR: folder,
    MQTT_BROKER: 'external',
    MQTT_URL: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    BLE_SOURCE: 'simulated',
  });
  await assertNamed(product, ['strap-names.json'], folder);
  assert.equal(await product.end(), 0, product.output());
});
