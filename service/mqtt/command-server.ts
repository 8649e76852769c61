/** Answers commands on `edge/<service>/request/<verb>` (contract/commands.ts): checks arguments, runs the handler, replies. */
import { checkRequest, COMMANDS, type CommandArgs, type CommandVerb, type ResponseMessage } from '../../contract/commands.ts';
import { requestFilter, responseTopic, type ServiceName } from '../../contract/topics.ts';
import { parseJson, untypedValidatorOf, type Validated } from '../../contract/validate.ts';
import { HrError, messageOf } from '../errors/errors.ts';
import { RepeatLimiter, type Logger } from '../log/log.ts';
import type { MessageHandler } from './mqtt-link.ts';

export type CommandHandlers = { [V in CommandVerb]?: (args: CommandArgs<V>) => Promise<unknown> };

export interface CommandServerOptions {
  service: ServiceName;
  log: Logger;
  /** `set-log-level` is answered by the server itself. */
  handlers: CommandHandlers;
  publish: (topic: string, payload: string) => boolean;
}

/** How many commands run at once; further ones are refused, so that a flood of requests holds no memory. */
const RUNNING_MAX = 32;

export class CommandServer {
  readonly #options: CommandServerOptions;
  readonly #repeats: RepeatLimiter;
  readonly #checkers = new Map<string, (value: unknown) => Validated<unknown>>();
  #running = 0;

  constructor(options: CommandServerOptions) {
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
  }

  /** To be spread into the subscriptions of the service's MqttLink. */
  get subscriptions(): Record<string, MessageHandler> {
    return { [requestFilter(this.#options.service)]: (topic, payload) => void this.#answer(topic, payload) };
  }

  async #answer(topic: string, payload: Buffer): Promise<void> {
    const verb = topic.slice(topic.lastIndexOf('/') + 1);
    const request = parseJson(payload, checkRequest);
    if (!request.ok) {
      this.#repeats.warn(
        'bad_request',
        { event: 'command_unreadable', verb, reason: request.reason },
        'a command cannot be read',
      );
      return;
    }
    const { id, args } = request.value;
    let response: ResponseMessage;
    try {
      response = { id, ok: true, result: (await this.#run(verb, args ?? {})) ?? null };
    } catch (error) {
      const known =
        error instanceof HrError
          ? error
          : new HrError('command_failed', { operation: verb, detail: messageOf(error), cause: error });
      if (!(error instanceof HrError)) this.#options.log.warn({ event: 'command_failed', verb, err: error }, 'a command failed');
      response = { id, ok: false, error: { code: known.code, message: known.detail, hint: known.hint } };
    }
    this.#options.publish(responseTopic(this.#options.service, id), JSON.stringify(response));
  }

  async #run(verb: string, args: object): Promise<unknown> {
    const { service, log, handlers } = this.#options;
    const row = Object.hasOwn(COMMANDS, verb) ? COMMANDS[verb as CommandVerb] : undefined;
    if (row === undefined) throw new HrError('command_unknown', { operation: verb, detail: `${service} knows no ${verb}` });
    let check = this.#checkers.get(verb);
    if (check === undefined) this.#checkers.set(verb, (check = untypedValidatorOf(row.args)));
    const checked = check(args);
    if (!checked.ok) throw new HrError('command_invalid', { operation: verb, detail: checked.reason });
    if (verb === 'set-log-level') {
      const { level } = checked.value as CommandArgs<'set-log-level'>;
      log.level = level;
      log.info({ event: 'log_level_changed', level }, 'log level changed by request');
      return { level };
    }
    const handler = handlers[verb as CommandVerb] as ((args: unknown) => Promise<unknown>) | undefined;
    if (handler === undefined)
      throw new HrError('command_unknown', { operation: verb, detail: `${service} does not answer ${verb}` });
    if (this.#running >= RUNNING_MAX)
      throw new HrError('command_failed', { operation: verb, detail: 'too many commands at once' });
    this.#running += 1;
    try {
      return await handler(checked.value);
    } finally {
      this.#running -= 1;
    }
  }
}
