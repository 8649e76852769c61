/** Asks other services by MQTT request topics and waits for their answers, within a limit. */
import { randomUUID } from 'node:crypto';
import { checkResponse, type CommandArgs, type CommandVerb, type ResponseMessage } from '../../contract/commands.ts';
import { requestTopic, responseFilter, SERVICE_NAMES, type ServiceName } from '../../contract/topics.ts';
import { parseJson } from '../../contract/validate.ts';
import { ERRORS, type ErrorCode } from '../errors/error-catalogue.ts';
import { HrError } from '../errors/errors.ts';
import type { MessageHandler } from './mqtt-link.ts';

export interface CommandClientOptions {
  /** Services whose answers are subscribed to. */
  services?: readonly ServiceName[];
  publish: (topic: string, payload: string) => boolean;
}

interface Waiting {
  resolve(response: ResponseMessage): void;
  timer: NodeJS.Timeout;
}

const DEFAULT_TIMEOUT_MS = 5000;

export class CommandClient {
  readonly #options: CommandClientOptions;
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: CommandClientOptions) {
    this.#options = options;
  }

  /** To be spread into the subscriptions of the asking service's MqttLink. */
  get subscriptions(): Record<string, MessageHandler> {
    const handler: MessageHandler = (_topic, payload) => {
      const response = parseJson(payload, checkResponse);
      if (!response.ok) return;
      const waiting = this.#waiting.get(response.value.id);
      if (waiting === undefined) return;
      this.#waiting.delete(response.value.id);
      clearTimeout(waiting.timer);
      waiting.resolve(response.value);
    };
    return Object.fromEntries((this.#options.services ?? SERVICE_NAMES).map((service) => [responseFilter(service), handler]));
  }

  /**
   * Sends a command and returns its result. Throws HrError: `not_connected`, `command_timeout`, or the far side's code
   * (`command_failed` where this version does not know it).
   */
  async request<V extends CommandVerb>(
    service: ServiceName,
    verb: V,
    args: CommandArgs<V>,
    options: { timeoutMs?: number } = {},
  ): Promise<unknown> {
    const id = randomUUID();
    const operation = `${service}/${verb}`;
    const response = await new Promise<ResponseMessage>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(
          new HrError('command_timeout', { operation, detail: `no answer within ${options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms` }),
        );
      }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
      this.#waiting.set(id, { resolve, timer });
      if (!this.#options.publish(requestTopic(service, verb), JSON.stringify({ id, args }))) {
        this.#waiting.delete(id);
        clearTimeout(timer);
        reject(new HrError('not_connected', { operation, detail: 'the broker is away' }));
      }
    });
    if (response.ok) return response.result;
    const error = response.error ?? { code: 'command_failed', message: 'no reason given', hint: '' };
    const code: ErrorCode = error.code in ERRORS ? (error.code as ErrorCode) : 'command_failed';
    throw new HrError(code, { operation, detail: error.message, hint: error.hint });
  }

  stop(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
