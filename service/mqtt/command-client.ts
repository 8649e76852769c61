/** Sends commands to other services on MQTT request topics and waits for their responses, within a time limit. */
import { randomUUID } from 'node:crypto';
import { resultCheckerOf, type CommandArgs, type CommandResult, type CommandVerb } from '../../contract/commands.ts';
import { parseResponse, parseResponsePart, type ResponseMessage, type ResponsePart } from '../../contract/response.ts';
import { requestTopic, responseFilter, type ServiceName } from '../../contract/topics.ts';
import { HrError, isErrorCode } from '../errors/errors.ts';
import type { MessageHandler } from './subscription-routes.ts';
import type { RefusedMessages } from './refused-messages.ts';

export interface CommandClientOptions {
  /** Name of this box, whose services are asked if a request names no other gateway; called once the client is connected. */
  gateway: () => string;
  /** Whose responses are subscribed to, `+` for every gateway's; default: those of this box. */
  gateways?: () => readonly string[];
  publish: (topic: string, payload: string) => boolean;
  /** Counts responses that do not match the contract. */
  refused?: RefusedMessages;
}

interface Waiting {
  resolve(response: ResponseMessage): void;
  timer: NodeJS.Timeout;
  /** Parts of the response received so far. */
  parts: Buffer[];
}

const DEFAULT_TIMEOUT_MS = 5000;

export class CommandClient {
  readonly #options: CommandClientOptions;
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: CommandClientOptions) {
    this.#options = options;
  }

  /** To be spread into the subscriptions of the client's MqttLink; call it once the service has started. */
  get subscriptions(): Record<string, MessageHandler> {
    const handler: MessageHandler = (topic, payload) => {
      const part = parseResponsePart(payload);
      const whole = part.ok ? this.#assembled(part.value) : payload;
      if (whole === undefined) return;
      const response = parseResponse(whole);
      if (!response.ok) return this.#options.refused?.refuse('response', topic, response.reason);
      const waiting = this.#waiting.get(response.value.id);
      if (waiting === undefined) return;
      this.#waiting.delete(response.value.id);
      clearTimeout(waiting.timer);
      waiting.resolve(response.value);
    };
    const { gateway, gateways = () => [gateway()] } = this.#options;
    return Object.fromEntries(gateways().map((name) => [responseFilter(name), handler]));
  }

  /** The response, once this was its last part. */
  #assembled({ id, part, parts, data }: ResponsePart): Buffer | undefined {
    const received = this.#waiting.get(id)?.parts;
    if (received === undefined) return undefined;
    // A part that is missing is never sent again: the request ends by its time limit.
    if (part !== received.length + 1) return undefined;
    received.push(Buffer.from(data, 'base64'));
    return part === parts ? Buffer.concat(received) : undefined;
  }

  /**
   * Sends a command and returns its result. Throws HrError: `not_connected`, `command_timeout`, or the service's code
   * (`command_failed` if this version does not know it, or if the result does not match the contract).
   */
  async request<V extends CommandVerb>(
    service: ServiceName,
    verb: V,
    args: CommandArgs<V>,
    options: { timeoutMs?: number; gateway?: string } = {},
  ): Promise<CommandResult<V>> {
    const operation = `${service}/${verb}`;
    const topic = requestTopic(options.gateway ?? this.#options.gateway(), service, verb);
    const response = await this.#response(topic, operation, args, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
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

  async #response(topic: string, operation: string, args: object, timeoutMs: number): Promise<ResponseMessage> {
    const id = randomUUID();
    return await new Promise<ResponseMessage>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new HrError('command_timeout', { operation, detail: `no response within ${timeoutMs} ms` }));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, timer, parts: [] });
      if (!this.#options.publish(topic, JSON.stringify({ id, args }))) {
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
