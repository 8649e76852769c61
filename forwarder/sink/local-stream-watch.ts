/**
 * Asks the local stream which of its clients it limits. The stream is no client of the broker, so the forwarder reports it: a program that
 * takes the stream's connections keeps readings from being put.
 */
import { get } from 'node:http';
import type { LocalStreamStatus } from '../../contract/local-stream-status.ts';
import { parseLocalStreamStatus } from '../../contract/local-stream-status.ts';
import type { Config } from '../../service/config/config.ts';
import { okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';

const EVERY_MS = 3000;
const ANSWER_MS = 2000;
const ANSWER_MAX_BYTES = 4096;
const CHECK = 'local stream clients';

export class LocalStreamWatch {
  readonly #config: Pick<Config, 'KINESIS_TARGET' | 'LOCAL_KINESIS_HOST' | 'LOCAL_KINESIS_PORT'>;
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;
  #limited: LocalStreamStatus['limited'];

  constructor(config: Pick<Config, 'KINESIS_TARGET' | 'LOCAL_KINESIS_HOST' | 'LOCAL_KINESIS_PORT'>) {
    this.#config = config;
  }

  start(): void {
    if (this.#config.KINESIS_TARGET !== 'local') return;
    this.#timer = setInterval(() => void this.#ask(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** None if the stream is not the local one. */
  checks(): CheckReport[] {
    if (this.#config.KINESIS_TARGET !== 'local') return [];
    if (this.#limited === undefined) return [okCheck(CHECK)];
    const { client, connections, bodies } = this.#limited;
    const text = `${client}: closed or delayed ${connections} connections, dropped ${bodies} unfinished requests`;
    return [warning(CHECK, 'http_client_over_limit', text)];
  }

  /** Whether the stream answers at all is the uplink's matter: without an answer the last one holds. */
  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = await this.#answer().catch(() => undefined);
    this.#isAsking = false;
    const parsed = answer === undefined ? undefined : parseLocalStreamStatus(answer);
    if (parsed?.ok === true) this.#limited = parsed.value.limited;
  }

  async #answer(): Promise<string> {
    const { LOCAL_KINESIS_HOST: host, LOCAL_KINESIS_PORT: port } = this.#config;
    return await new Promise((resolve, reject) => {
      const request = get({ host, port, path: '/', agent: false, signal: AbortSignal.timeout(ANSWER_MS) }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_MAX_BYTES) request.destroy();
        });
        response.on('end', () => resolve(text));
        response.on('error', reject);
      });
      request.on('error', reject);
    });
  }
}
