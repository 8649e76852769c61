/** The admin API alone, without a broker, asked over HTTP. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { AdminApiService } from '../../../admin-api/service.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  code: string | undefined;
}
export type Ask = (
  method: string,
  path: string,
  options?: { headers?: Record<string, string>; body?: string; token?: string; cookie?: string },
) => Promise<Answer>;

export async function startApi(
  t: TestContext,
  environment: Record<string, string> = {},
): Promise<{ ask: Ask; token: string; port: number; tokenFile: string }> {
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_URL: 'mqtt://127.0.0.1:1', ...environment });
  const service = new AdminApiService({ config, log: testLog(config) });
  t.after(() => service.stop());
  await service.start();
  const ask: Ask = async (method, target, { headers = {}, body, token, cookie } = {}) =>
    await new Promise((resolve, reject) => {
      const all: Record<string, string> = {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(cookie === undefined ? {} : { cookie: `hr_gateway_session=${cookie}` }),
        ...headers,
      };
      const asked = request(
        { port: service.port, host: '127.0.0.1', method, path: target, headers: all, agent: false },
        (answer) => {
          let text = '';
          answer.on('data', (chunk) => (text += String(chunk)));
          answer.on('end', () => {
            let code: string | undefined;
            try {
              code = (JSON.parse(text) as { code?: string }).code;
            } catch {
              code = undefined;
            }
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, code });
          });
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
  const tokenFile = path.join(config.DATA_DIR, 'token');
  return { ask, token: readFileSync(tokenFile, 'utf8').trim(), port: service.port, tokenFile };
}

/** The value of a cookie that an answer sets; undefined if it sets none. */
export function cookieOf({ headers }: Answer, name = 'hr_gateway_session'): string | undefined {
  const all = [headers['set-cookie'] ?? []].flat();
  return all.map((text) => new RegExp(`^${name}=([^;]*)`).exec(text)?.[1]).find((value) => value !== undefined);
}

/** Asks repeatedly, each time on a new connection; returns the slowest answer in milliseconds. */
export async function slowestOf(ask: Ask, token: string, times: number): Promise<number> {
  let slowestMs = 0;
  for (let i = 0; i < times; i += 1) {
    const beganMs = performance.now();
    assert.equal((await ask('GET', '/session', { token })).text, '{"operator":true}');
    slowestMs = Math.max(slowestMs, performance.now() - beganMs);
  }
  return slowestMs;
}
