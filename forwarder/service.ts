/** The forwarder: intake → queue → drain → sink. This is the composition root of the service. */
import path from 'node:path';
import type { CommandArgs } from '../contract/commands.ts';
import type { ForwarderStatus } from '../contract/forwarder-status.ts';
import type { Metric } from '../contract/metrics.ts';
import type { ServiceDetails } from '../contract/service-status.ts';
import { parseServiceStatus } from '../contract/service-status.ts';
import { parseGap, type Gap } from '../contract/device-status.ts';
import { deviceOfTopic, GAP_FILTER, gapTopic, READINGS_FILTER, SERVICE_STATUS_FILTER } from '../contract/topics.ts';
import { targetOf } from '../service/config/stream-address.ts';
import { ControlSocket } from '../service/control/control-socket.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { dataFolder, gatewayNameOf, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import { HrError } from '../service/errors/errors.ts';
import { clockState } from '../service/process/clock-state.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { RepeatLimiter } from '../service/log/log.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';
import type { Subscriptions } from '../service/mqtt/subscription-routes.ts';
import { brokerOf, servedGateways } from '../service/network/broker.ts';
import { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import { offlineWill, StatusReporter } from '../service/mqtt/status-reporter.ts';
import type { CheckReport } from '../service/health/check-report.ts';
import { AccountRecords } from './drain/account-records.ts';
import { boxMessages } from './box-discovery.ts';
import { Drain } from './drain/drain.ts';
import { ForwarderHealth } from './health.ts';
import { Intake } from './intake/intake.ts';
import { ForwarderMetrics } from './metrics.ts';
import { Neighbours } from './neighbours.ts';
import type { EvictedSpan, QueueState } from './queue/queue-messages.ts';
import { reasonText } from './queue/queue-mode.ts';
import { Queue } from './queue/queue.ts';
import { KinesisSink, targetName } from './sink/kinesis-sink.ts';
import { LocalStreamWatch } from './sink/local-stream-watch.ts';
import type { Sink } from './sink/sink.ts';
import { Version1Topics } from './version-1-topics.ts';

/** Causes of gaps whose readings were numbered. */
const LOST: ReadonlySet<string> = new Set(['outbox_full', 'evicted']);

export interface ForwarderOptions {
  sink?: Sink;
  /** Whose sequencers are served; `*`: every gateway's. Default: what the settings say. */
  gateways?: readonly string[];
  /** Whether other clients' readings are taken from `hr/<device>/bpm`. Default: on an external broker where no gateway adopts them. */
  takesLiveReadings?: boolean;
}

export class ForwarderService implements Service {
  readonly name = 'forwarder';
  readonly #context: ServiceContext;
  readonly #options: ForwarderOptions;
  readonly #gateway: () => string;
  readonly #repeats: RepeatLimiter;
  readonly #metrics = new ForwarderMetrics();
  readonly #queue: Queue;
  readonly #drain: Drain;
  readonly #accounts: AccountRecords;
  readonly #health: ForwarderHealth;
  readonly #commands: CommandServer;
  readonly #link: MqttLink;
  readonly #reporter: StatusReporter;
  readonly #control: ControlSocket;
  readonly #version1Topics: Version1Topics;
  readonly #refused: RefusedMessages;
  readonly #localStream: LocalStreamWatch;
  #intake: Intake | undefined;
  #neighbours: Neighbours | undefined;
  #lock: DataDirLock | undefined;
  #isReporting = false;
  #isStopped = false;
  #loggedDamage = '';
  #loggedDeadEvicted = 0;

  constructor(context: ServiceContext, options: ForwarderOptions = {}) {
    this.#context = context;
    this.#options = options;
    const { config, log } = context;
    const gateway = gatewayNameOf(config, log);
    this.#gateway = gateway;
    this.#repeats = new RepeatLimiter(log);
    this.#refused = new RefusedMessages('forwarder', log);
    this.#queue = new Queue(config);
    const sink = options.sink ?? new KinesisSink(config, log);
    this.#drain = new Drain({ config, log, queue: this.#queue, sink, metrics: this.#metrics });
    const isUplinkOk = (): boolean => this.#drain.uplink.current.state === 'ok';
    this.#accounts = new AccountRecords({ config, log, sink, queue: this.#queue, isUplinkOk });
    this.#health = new ForwarderHealth(this.#queue, this.#drain);
    this.#localStream = new LocalStreamWatch(config);
    this.#commands = this.#commandServer();
    this.#link = new MqttLink({
      service: 'forwarder',
      config,
      log,
      will: () => offlineWill(gateway(), 'forwarder'),
      subscriptions: () => this.#subscriptions(),
    });
    this.#version1Topics = new Version1Topics({
      log,
      publish: (topic, payload, options) => this.#link.publish(topic, payload, options),
    });
    this.#reporter = new StatusReporter({
      service: 'forwarder',
      gateway,
      link: this.#link,
      log,
      checks: () => this.#checks(),
      details: () => this.#details(),
      metrics: () => [...this.#readMetrics(), this.#refused.read()],
      news: () => this.#news(),
    });
    this.#control = new ControlSocket({
      service: 'forwarder',
      config,
      log,
      status: () => this.#reporter.current(),
      handlers: { backup: async () => await this.#queue.backup() },
    });
  }

  /** Throws HrError `data_dir_in_use`, `queue_too_new`, `queue_unusable`. An unreachable stream is no error. */
  async start(): Promise<void> {
    const { config, log } = this.#context;
    this.#lock = lockDataDir(config, 'forwarder');
    const gateway = this.#gateway();
    const served = this.#served();
    const broker = brokerOf(config).kind;
    const neighbours = new Neighbours({ gateway, served, broker, instance: this.#reporter.instance });
    this.#neighbours = neighbours;
    const intake = new Intake({
      queue: this.#queue,
      log,
      refused: this.#refused,
      gateway,
      gateways: served,
      takesLiveReadings: this.#options.takesLiveReadings ?? broker === 'external',
      strapNamesFile: path.join(dataFolder(config), 'strap-names.json'),
      publish: (topic, payload) => this.#link.publish(topic, payload),
      clock: () => clockState(new Date(), { clock_ahead_ms: this.#drain.clockAheadMs }),
    });
    this.#intake = intake;
    this.#followQueue(intake);
    this.#drain.uplink.on('changed', () => this.#reporter.changed());
    this.#link.on('up', () => {
      neighbours.up();
      intake.up();
      this.#version1Topics.up();
      for (const { topic, payload } of boxMessages(gateway)) this.#link.publish(topic, payload, { retain: true });
    });
    this.#link.on('down', () => neighbours.down());
    await this.#queue.start();
    // Stopped meanwhile.
    if (this.#isStopped) return;
    this.#link.start();
    this.#reporter.start();
    this.#isReporting = true;
    this.#control.start();
    this.#drain.start();
    this.#accounts.start();
    this.#localStream.start();
  }

  #served(): readonly string[] {
    return this.#options.gateways ?? servedGateways(this.#context.config, this.#gateway());
  }

  #subscriptions(): Subscriptions {
    const { [READINGS_FILTER]: takeLive, ...delivery } = this.#intake?.subscriptions ?? {};
    const { takesLiveReadings } = this.#options;
    return {
      ...delivery,
      ...(takeLive === undefined
        ? {}
        : {
            // A gateway that adopts readings here may appear at any time: what it adopts is not taken a second time.
            [READINGS_FILTER]: (topic, payload, retained) => {
              if (takesLiveReadings === true || this.#neighbours?.takesUnnumbered === true) takeLive(topic, payload, retained);
            },
          }),
      ...this.#commands.subscriptions,
      ...this.#reporter.subscriptions,
      ...this.#version1Topics.subscriptions,
      [GAP_FILTER]: this.#refused.reader('gap', parseGap, (topic, gap, retained) => {
        if (!retained) this.#receiveGap(topic, gap);
      }),
      [SERVICE_STATUS_FILTER]: this.#refused.reader('service_status', parseServiceStatus, (topic, status, retained) => {
        if (status.service !== 'gateway' && status.service !== 'forwarder') return;
        this.#neighbours?.received(topic, status, retained);
      }),
    };
  }

  /** What a strap did not send. Readings that were lost are in the accounts of their runs. */
  #receiveGap(topic: string, { from, to, cause }: Gap): void {
    const device = deviceOfTopic(topic);
    if (device === undefined || !this.#queue.isOpen || LOST.has(cause)) return;
    this.#queue.addGap(device, { from, to, cause }).catch(() => {
      // The queue is closed.
    });
  }

  #followQueue(intake: Intake): void {
    const queue = this.#queue;
    queue.on('committed', ({ watermarks, unnumbered, state, rows, commitMs, evicted }) => {
      intake.committed(watermarks, unnumbered);
      if (rows > 0) this.#metrics.commit(commitMs);
      for (const span of evicted) this.#reportEvicted(span);
      this.#followState(intake, state);
      this.#reporter.changed();
    });
    queue.on('refused', ({ queue: queueId, watermarks, state, lostUnnumbered }) => {
      intake.refused(queueId, watermarks, lostUnnumbered);
      this.#followState(intake, state);
    });
    queue.on('state', (state) => this.#followState(intake, state));
    queue.on('progress', () => this.#reporter.changed());
    queue.on('opened', (watermarks, queueId) => intake.start(queueId, watermarks));
    queue.on('fatal', (error) => {
      const failed =
        error instanceof HrError
          ? error
          : new HrError('worker_failed', { operation: 'run the queue', detail: error.message, cause: error });
      this.#context.onFatal?.(failed);
    });
  }

  #reportEvicted({ device, from, to, count }: EvictedSpan): void {
    this.#repeats.error('evicted', { event: 'readings_evicted', device, count }, 'queue is full: evicted the oldest readings');
    this.#link.publish(gapTopic(device), JSON.stringify({ from, to, cause: 'evicted', readings: count }));
  }

  #followState(intake: Intake, { mode, reason, damage, causes }: QueueState): void {
    intake.setAccepting(mode === 'open');
    const report = damage === null ? '' : reasonText(damage);
    if (report !== '' && report !== this.#loggedDamage)
      this.#context.log.error({ event: 'queue_damaged', report }, 'the queue file was damaged and has been replaced');
    this.#loggedDamage = report;
    const deadEvicted = causes.evicted['dead_letters_full'] ?? 0;
    if (deadEvicted > this.#loggedDeadEvicted)
      this.#repeats.error(
        'dead_letters_full',
        { event: 'dead_letters_evicted', count: deadEvicted },
        'too many dead letters: evicted the oldest',
      );
    this.#loggedDeadEvicted = deadEvicted;
    if (reason === null) return;
    if (mode === 'checking')
      this.#context.log.info(
        { event: 'queue_checking', reason: reasonText(reason) },
        'checking the queue before it is used; bridges hold their readings',
      );
    else
      this.#repeats.error(
        'not_accepting',
        { event: 'queue_not_accepting', reason: reasonText(reason) },
        'queue is rejecting writes; bridges hold their readings',
      );
  }

  #commandServer(): CommandServer {
    const queue = this.#queue;
    const chosen = ({ ids, all }: CommandArgs<'retry-dead-letters'>): number[] | null => {
      if (ids !== undefined) return [...ids];
      if (all === true) return null;
      throw new HrError('command_invalid', { operation: 'dead letters', detail: 'give ids, or all: true' });
    };
    return new CommandServer({
      service: 'forwarder',
      gateway: this.#gateway,
      log: this.#context.log,
      refused: this.#refused,
      publish: (topic, payload) => this.#link.publish(topic, payload),
      handlers: {
        'list-dead-letters': async ({ limit, before }) => await queue.deadLetters(limit ?? 100, before ?? null),
        'retry-dead-letters': async (args) => await queue.retryDead(chosen(args)),
        'discard-dead-letters': async (args) => await queue.discardDead(chosen(args)),
        'show-run': async (args) => await queue.showRun(args),
        'acknowledge-damage': async () => await queue.acknowledgeDamage(),
        backup: async () => await queue.backup(),
      },
    });
  }

  /** Excludes the counts that grow with each reading: a status per reading would cost as much as the readings. */
  #news(): string {
    const { ledger, causes, deadLetters, mode } = this.#queue.state;
    return JSON.stringify([
      ledger.queued,
      deadLetters,
      causes,
      mode,
      this.#drain.uplink.reported.state,
      this.#checks().map(({ status, code, reason }) => [status, code, reason]),
    ]);
  }

  #checks(): CheckReport[] {
    const neighbours = this.#neighbours?.checks() ?? [];
    const failed = neighbours.filter(({ status }) => status !== 'ok').map(({ name }) => name);
    // The intake notices another forwarder at once, by its queue; its status tells whose it is.
    const intake = (this.#intake?.checks() ?? []).filter(({ name }) => !failed.includes(name));
    const others = neighbours.filter(({ name }) => !intake.some((check) => check.name === name));
    return [...this.#health.checks(), ...this.#localStream.checks(), this.#link.check(), ...intake, ...others];
  }

  #oldestAgeSeconds(): number {
    const { ledger, oldestAcceptedAtMs } = this.#queue.state;
    return oldestAcceptedAtMs === null || ledger.queued === 0 ? 0 : Math.max(0, (Date.now() - oldestAcceptedAtMs) / 1000);
  }

  #details(): ServiceDetails {
    const { config } = this.#context;
    const { ledger, causes, bytes, deadLetters, commitsLost } = this.#queue.state;
    const missed = { ...causes.missed };
    const unnumbered = this.#intake?.lostUnnumbered ?? 0;
    if (unnumbered > 0) missed['not_accepting'] = unnumbered;
    const forwarder: ForwarderStatus = {
      gateways: [...this.#served()],
      puback_means: this.#neighbours?.takesUnnumbered === true ? 'received' : 'stored',
      target: targetOf(config),
      target_name: targetName(config),
      stream: config.KINESIS_STREAM,
      mode: config.KINESIS_MODE,
      depth: ledger.queued,
      bytes,
      oldest_age_seconds: this.#oldestAgeSeconds(),
      dead_letters: deadLetters,
      ledger: { ...ledger, missed: ledger.missed + unnumbered },
      causes: { ...causes, missed },
      ...(commitsLost === 0 ? {} : { lost_commits: commitsLost }),
      duplicates: this.#intake?.arrivals.total('duplicate') ?? 0,
      arrivals: this.#intake?.arrivals.read() ?? {},
      uplink: { ...this.#drain.uplink.asStatus(), ...this.#drain.budget.asStatus() },
      commit_interval_ms: config.QUEUE_COMMIT_INTERVAL_MS,
      clock_ahead_ms: this.#drain.clockAheadMs,
      last_shipped_at: this.#drain.lastShippedAt,
    };
    return { forwarder };
  }

  /** Readings that are accepted and not yet shipped. */
  get queued(): number {
    return this.#queue.depth;
  }

  #readMetrics(): Metric[] {
    const arrivals = this.#intake === undefined ? [] : [this.#intake.arrivals.metric()];
    if (!this.#queue.isOpen) return [...this.#metrics.read(undefined), ...arrivals];
    const read = this.#metrics.read({
      state: this.#queue.state,
      oldestAgeSeconds: this.#oldestAgeSeconds(),
      duplicates: this.#intake?.arrivals.total('duplicate') ?? 0,
      uplink: this.#drain.uplink.reported.state,
    });
    return [...read, ...arrivals];
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#control.stop();
    this.#localStream.stop();
    try {
      await this.#accounts.stop();
      await this.#drain.stop();
      await this.#intake?.stop();
    } finally {
      // The last commit comes before the link is closed, so that bridges learn of it.
      await this.#queue.stop();
    }
    if (this.#isReporting) this.#reporter.stop();
    this.#isReporting = false;
    await this.#link.stop();
    this.#lock?.release();
    this.#lock = undefined;
  }
}
