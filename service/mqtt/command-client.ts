/** Sends commands to other services on MQTT request topics and waits for their responses, within a time limit. */
import { randomUUID } from 'node:crypto';
import { resultCheckerOf, type CommandArgs, type CommandResult, type CommandVerb } from '../../contract/commands.ts';
import { parseResponse, type ResponseMessage } from '../../contract/response.ts';
import { requestTopic, responseFilter, SERVICE_NAMES, type ServiceName } from '../../contract/topics.ts';
import { ERRORS, type ErrorCode } from '../errors/error-catalogue.ts';
import { HrError } from '../errors/errors.ts';
import type { MessageHandler } from './mqtt-link.ts';
import type { RefusedMessages } from './refused-messages.ts';

export interface CommandClientOptions {
  /** Services whose responses are subscribed to; default: all. */
  services?: readonly ServiceName[];
  publish: (topic: string, payload: string) => boolean;
  /** Counts responses that do not match the contract. */
  refused?: RefusedMessages;
}

interface Waiting {
  resolve(response: ResponseMessage): void;
  timer: NodeJS.Timeout;
}

const DEFAULT_TIMEOUT_MS = 5000;

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

export class CommandClient {
  readonly #options: CommandClientOptions;
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: CommandClientOptions) {
    this.#options = options;
  }

  /** To be spread into the subscriptions of the client's MqttLink. */
  get subscriptions(): Record<string, MessageHandler> {
    const handler: MessageHandler = (topic, payload) => {
      const response = parseResponse(payload);
      if (!response.ok) return this.#options.refused?.refuse('response', topic, response.reason);
      const waiting = this.#waiting.get(response.value.id);
      if (waiting === undefined) return;
      this.#waiting.delete(response.value.id);
      clearTimeout(waiting.timer);
      waiting.resolve(response.value);
    };
    return Object.fromEntries((this.#options.services ?? SERVICE_NAMES).map((service) => [responseFilter(service), handler]));
  }

  /**
   * Sends a command and returns its result. Throws HrError: `not_connected`, `command_timeout`, or the service's code
   * (`command_failed` if this version does not know it, or if the result does not match the contract).
   */
  async request<V extends CommandVerb>(
    service: ServiceName,
    verb: V,
    args: CommandArgs<V>,
    options: { timeoutMs?: number } = {},
  ): Promise<CommandResult<V>> {
    const operation = `${service}/${verb}`;
    const response = await this.#response(service, verb, args, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    if (!response.ok) {
      const { code, message, hint } = response.error;
      throw new HrError(isErrorCode(code) ? code : 'command_failed', { operation, detail: message, hint });
    }
    const result = resultCheckerOf(verb)(response.result);
    if (result.ok) return result.value;
    this.#options.refused?.refuse('response', operation, result.reason);
    throw new HrError('command_failed', {
      operation,
      detail: `the result does not match the contract: ${result.reason}`,
      hint: 'The services are of different versions: update all of them.',
    });
  }

  async #response(service: ServiceName, verb: CommandVerb, args: object, timeoutMs: number): Promise<ResponseMessage> {
    const id = randomUUID();
    const operation = `${service}/${verb}`;
    return await new Promise<ResponseMessage>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new HrError('command_timeout', { operation, detail: `no response within ${timeoutMs} ms` }));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, timer });
      if (!this.#options.publish(requestTopic(service, verb), JSON.stringify({ id, args }))) {
        this.#waiting.delete(id);
        clearTimeout(timer);
        reject(new HrError('not_connected', { operation, detail: 'no connection to the broker' }));
      }
    });
  }

  /** Stops waiting; pending requests are not answered any more. */
  stop(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
