/** Answers commands on `edge/<gateway>/<service>/request/<verb>` (contract/commands.ts): checks arguments, runs the handler, replies. */
import {
  argsCheckerOf,
  isCommandVerb,
  parseRequest,
  type CommandArgs,
  type CommandResult,
  type CommandVerb,
} from '../../contract/commands.ts';
import { responseMessages, type ResponseMessage } from '../../contract/response.ts';
import { requestFilter, responseTopic, type ServiceName } from '../../contract/topics.ts';
import { HrError, messageOf } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import type { MessageHandler } from './subscription-routes.ts';
import { RefusedMessages } from './refused-messages.ts';

type Handler<V extends CommandVerb> = (args: CommandArgs<V>) => Promise<CommandResult<V>>;
export type CommandHandlers = { [V in CommandVerb]?: Handler<V> };

export interface CommandServerOptions {
  service: ServiceName;
  /** Name of this box; called once the service has started. */
  gateway: () => string;
  log: Logger;
  /** `set-log-level` is answered by the server itself. */
  handlers: CommandHandlers;
  publish: (topic: string, payload: string) => boolean;
  /** Counts requests that do not match the contract; one of its own if left out. */
  refused?: RefusedMessages;
}

/** How many commands run at once; further ones are refused, so that a flood of requests holds no memory. */
const RUNNING_MAX = 32;

type Runner = (args: unknown) => Promise<unknown>;

function runnerOf<V extends CommandVerb>(verb: V, handler: Handler<V>): Runner {
  const check = argsCheckerOf(verb);
  return async (args) => {
    const checked = check(args);
    if (!checked.ok) throw new HrError('command_invalid', { operation: verb, detail: checked.reason });
    return await handler(checked.value);
  };
}

export class CommandServer {
  readonly #options: CommandServerOptions;
  readonly #refused: RefusedMessages;
  readonly #runners = new Map<string, Runner>();
  #running = 0;

  constructor(options: CommandServerOptions) {
    this.#options = options;
    this.#refused = options.refused ?? new RefusedMessages(options.service, options.log);
    for (const verb of Object.keys(options.handlers)) if (isCommandVerb(verb)) this.#add(verb);
    this.#runners.set(
      'set-log-level',
      runnerOf('set-log-level', async ({ level }) => {
        options.log.level = level;
        options.log.info({ event: 'log_level_changed', level }, 'log level changed by request');
        return { level };
      }),
    );
  }

  #add<V extends CommandVerb>(verb: V): void {
    const handler = this.#options.handlers[verb];
    if (handler !== undefined) this.#runners.set(verb, runnerOf(verb, handler));
  }

  /** To be spread into the subscriptions of the service's MqttLink; call it once the service has started. */
  get subscriptions(): Record<string, MessageHandler> {
    return {
      [requestFilter(this.#options.gateway(), this.#options.service)]: this.#refused.reader(
        'request',
        parseRequest,
        (topic, { id, args }) => {
          void this.#answer(topic.slice(topic.lastIndexOf('/') + 1), id, args ?? {});
        },
      ),
    };
  }

  async #answer(verb: string, id: string, args: object): Promise<void> {
    let response: ResponseMessage;
    try {
      response = { id, ok: true, result: (await this.#run(verb, args)) ?? null };
    } catch (error) {
      const known =
        error instanceof HrError
          ? error
          : new HrError('command_failed', { operation: verb, detail: messageOf(error), cause: error });
      if (!(error instanceof HrError)) this.#options.log.warn({ event: 'command_failed', verb, err: error }, 'a command failed');
      const message = known.detail.slice(0, 4000);
      response = { id, ok: false, error: { code: known.code, message, hint: known.hint } };
    }
    const { gateway, service, publish } = this.#options;
    for (const message of responseMessages(response)) publish(responseTopic(gateway(), service, id), message);
  }

  async #run(verb: string, args: object): Promise<unknown> {
    const { service } = this.#options;
    const runner = this.#runners.get(verb);
    if (runner === undefined)
      throw new HrError('command_unknown', { operation: verb.slice(0, 64), detail: `${service} does not know this command` });
    if (this.#running >= RUNNING_MAX)
      throw new HrError('command_failed', { operation: verb, detail: 'too many commands at once' });
    this.#running += 1;
    try {
      return await runner(args);
    } finally {
      this.#running -= 1;
    }
  }
}
