/** The forwarder: intake → queue → drain → sink. Composition root of this service. */
import type { CommandArgs } from '../contract/commands.ts';
import type { Check, ForwarderStatus, ServiceDetails } from '../contract/service-status.ts';
import { gapTopic } from '../contract/topics.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { gatewayName, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import { HrError } from '../service/errors/errors.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { RepeatLimiter } from '../service/log/log.ts';
import { Counter, Gauge, Histogram } from '../service/metrics/metrics.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';
import { offlineWill, okCheck, StatusReporter, type CheckReport } from '../service/mqtt/status-reporter.ts';
import { isBeforeBuild, isOffStream } from '../service/process/clock-state.ts';
import { Drain } from './drain/drain.ts';
import { Intake } from './intake/intake.ts';
import { QUEUE_CHECKING } from './queue/disk-trouble.ts';
import { Queue } from './queue/queue.ts';
import type { QueueState } from './queue/queue-messages.ts';
import { KinesisSink, targetName } from './sink/kinesis-sink.ts';
import type { Sink } from './sink/sink.ts';

/** A clock this far from the stream's is wrong, and health says so. */

export class ForwarderService implements Service {
  readonly name = 'forwarder';
  readonly #context: ServiceContext;
  readonly #queue: Queue;
  readonly #drain: Drain;
  readonly #repeats: RepeatLimiter;
  readonly #commitSeconds = new Histogram(
    'hr_gateway_commit_seconds',
    'Time of commits of the queue',
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
  );
  #intake: Intake | undefined;
  #link: MqttLink | undefined;
  #reporter: StatusReporter | undefined;
  #lock: DataDirLock | undefined;
  #damageSaid = '';
  #deadLostSaid = 0;

  constructor(context: ServiceContext, options: { sink?: Sink } = {}) {
    this.#context = context;
    const { config, log } = context;
    this.#repeats = new RepeatLimiter(log);
    this.#queue = new Queue(config);
    this.#drain = new Drain({
      config,
      log,
      queue: this.#queue,
      sink: options.sink ?? new KinesisSink(config, log),
      onChange: () => this.#reporter?.changed(),
    });
  }

  /** Throws HrError `data_dir_in_use`, `queue_too_new`, `queue_unusable`. A stream that is away is no error. */
  async start(): Promise<void> {
    const { config, log, onFatal } = this.#context;
    this.#lock = lockDataDir(config, 'forwarder');
    const publish = (topic: string, payload: string): boolean => this.#link?.publish(topic, payload) ?? false;
    const intake = new Intake({ queue: this.#queue, log, window: config.OUTBOX_WINDOW, gateway: gatewayName(config), publish });
    this.#intake = intake;
    const commands = this.#commands(publish);
    const link = new MqttLink({
      service: 'forwarder',
      config,
      log,
      will: offlineWill('forwarder'),
      subscriptions: { ...intake.subscriptions, ...commands.subscriptions },
    });
    this.#link = link;
    this.#reporter = new StatusReporter({
      service: 'forwarder',
      link,
      checks: () => this.#checks(),
      details: () => this.#details(),
      metrics: () => this.#metrics(),
      news: () => this.#news(),
    });
    this.#queue.on('committed', ({ watermarks: moved, state, rows, commitMs, evicted }) => {
      intake.committed(moved);
      if (rows > 0) this.#commitSeconds.observe(commitMs / 1000);
      for (const span of evicted) {
        this.#repeats.error(
          'evicted',
          { event: 'readings_evicted', device: span.device, count: span.count },
          'the queue is full: the oldest readings were given up',
        );
        publish(gapTopic(span.device), JSON.stringify({ from: span.from, to: span.to, cause: 'evicted', readings: span.count }));
      }
      this.#heardState(state);
      this.#reporter?.changed();
    });
    this.#queue.on('refused', ({ watermarks: held, state, lostUnnumbered }) => {
      intake.refused(held, lostUnnumbered);
      this.#heardState(state);
    });
    this.#queue.on('state', (state) => this.#heardState(state));
    this.#queue.on('settled', () => this.#reporter?.changed());
    this.#queue.on('fatal', (error) =>
      onFatal?.(
        error instanceof HrError
          ? error
          : new HrError('worker_failed', { operation: 'run the queue', detail: error.message, cause: error }),
      ),
    );
    this.#queue.on('opened', (watermarks) => intake.start(watermarks));
    await this.#queue.start();
    link.on('up', () => intake.up());
    link.start();
    this.#reporter.start();
    this.#drain.start();
  }

  #commands(publish: (topic: string, payload: string) => boolean): CommandServer {
    const chosen = ({ ids, all }: CommandArgs<'retry-dead-letters'>): number[] | null => {
      if (ids !== undefined) return [...ids];
      if (all === true) return null;
      throw new HrError('command_invalid', { operation: 'dead letters', detail: 'give ids, or all: true' });
    };
    return new CommandServer({
      service: 'forwarder',
      log: this.#context.log,
      publish,
      handlers: {
        'list-dead-letters': async ({ limit, before }) => await this.#queue.deadLetters(limit ?? 100, before ?? null),
        'retry-dead-letters': async (args) => await this.#queue.retryDead(chosen(args)),
        'discard-dead-letters': async (args) => await this.#queue.discardDead(chosen(args)),
        'acknowledge-damage': async () => await this.#queue.acknowledgeDamage(),
        backup: async () => await this.#queue.backup(),
      },
    });
  }

  #heardState(state: QueueState): void {
    this.#intake?.setAccepting(state.accepting);
    if (state.damage !== '' && state.damage !== this.#damageSaid)
      this.#context.log.error({ event: 'queue_damaged', report: state.damage }, 'the queue file was damaged and was replaced');
    this.#damageSaid = state.damage;
    const deadLost = state.causes.evicted['dead_letters_full'] ?? 0;
    if (deadLost > this.#deadLostSaid)
      this.#repeats.error(
        'dead_letters_full',
        { event: 'dead_letters_evicted', count: deadLost },
        'too many dead letters: the oldest were given up',
      );
    this.#deadLostSaid = deadLost;
    if (this.#isChecking)
      this.#context.log.info(
        { event: 'queue_checking', reason: state.trouble },
        'the queue is looked at before it is used; bridges hold their readings',
      );
    else if (!state.accepting)
      this.#repeats.error(
        'not_accepting',
        { event: 'queue_not_accepting', reason: state.trouble },
        'the queue takes no more; bridges hold their readings',
      );
  }

  #checks(): CheckReport[] {
    const state = this.#queue.state;
    const damage: CheckReport =
      state.damage === ''
        ? okCheck('queue file')
        : {
            name: 'queue file',
            status: 'warn',
            reason: state.damage,
            hint: 'Look at the disk; then acknowledge the report (POST /damage/acknowledge).',
          };
    const dead: CheckReport =
      state.deadLetters === 0
        ? okCheck('dead letters')
        : {
            name: 'dead letters',
            status: 'warn',
            reason: `dead_letters: ${state.deadLetters} ${state.deadLetters === 1 ? 'reading was' : 'readings were'} refused`,
            hint: 'Look at GET /dead-letters; retry or discard them.',
          };
    return [this.#drain.uplink.check(), this.#queueCheck(), damage, dead, this.#clockCheck()];
  }

  /** A calm queue that fills and empties with each reading is none: its status would cost as much as the readings. */
  #news(): string {
    const { ledger, causes, deadLetters, accepting } = this.#queue.state;
    return JSON.stringify([
      ledger.queued,
      deadLetters,
      causes,
      accepting,
      this.#drain.uplink.current.state,
      this.#checks().map(({ status, reason }) => `${status} ${reason}`),
    ]);
  }

  #queueCheck(): CheckReport {
    const { accepting, trouble: reason } = this.#queue.state;
    if (accepting) return okCheck('queue');
    if (this.#isChecking)
      return {
        name: 'queue',
        status: 'warn',
        reason,
        hint: 'Wait: a large queue is read through once at the start. Bridges hold their readings meanwhile.',
      };
    return {
      name: 'queue',
      status: 'fail',
      reason,
      hint: 'Free space on the disk of DATA_DIR, raise QUEUE_MAX_BYTES, or mend the uplink. Bridges hold their readings meanwhile.',
    };
  }

  get #isChecking(): boolean {
    return this.#queue.state.trouble.startsWith(QUEUE_CHECKING);
  }

  #clockCheck(): CheckReport {
    const ahead = this.#drain.clockAheadMs;
    const hint = 'Set the time of this box (timedatectl set-ntp true); readings are marked unsynced until then.';
    const status: Check['status'] = 'warn';
    if (isBeforeBuild(new Date()))
      return { name: 'clock', status, reason: `clock_wrong: this box says ${new Date().toISOString()}`, hint };
    if (isOffStream(ahead))
      return {
        name: 'clock',
        status,
        reason: `clock_wrong: this box is ${Math.abs(ahead)} ms ${ahead > 0 ? 'ahead of' : 'behind'} the stream`,
        hint,
      };
    return okCheck('clock');
  }

  #oldestAgeSeconds(): number {
    const { ledger, oldestAcceptedAtMs } = this.#queue.state;
    return oldestAcceptedAtMs === null || ledger.queued === 0 ? 0 : Math.max(0, (Date.now() - oldestAcceptedAtMs) / 1000);
  }

  #details(): ServiceDetails {
    const { config } = this.#context;
    const { ledger, causes, bytes, deadLetters } = this.#queue.state;
    const missed = { ...causes.missed };
    const unnumbered = this.#intake?.lostUnnumbered ?? 0;
    if (unnumbered > 0) missed['not_accepting'] = unnumbered;
    const forwarder: ForwarderStatus = {
      target: config.KINESIS_TARGET === 'local' || config.KINESIS_TARGET === 'aws' ? config.KINESIS_TARGET : 'endpoint',
      target_name: targetName(config),
      stream: config.KINESIS_STREAM,
      mode: config.KINESIS_MODE,
      depth: ledger.queued,
      bytes,
      oldest_age_seconds: this.#oldestAgeSeconds(),
      dead_letters: deadLetters,
      ledger: { ...ledger, missed: ledger.missed + unnumbered },
      causes: { ...causes, missed },
      duplicates: this.#intake?.duplicates ?? 0,
      uplink: this.#drain.uplink.current,
      commit_interval_ms: config.QUEUE_COMMIT_INTERVAL_MS,
      clock_ahead_ms: this.#drain.clockAheadMs,
      last_shipped_at: this.#drain.lastShippedAt,
    };
    return { forwarder };
  }

  #metrics(): ReturnType<Drain['metrics']['read']> {
    // Counters that fall to nothing and come back would be taken for a flood of readings.
    if (!this.#queue.isOpen) return this.#drain.metrics.read();
    const { ledger, causes, bytes, commits } = this.#queue.state;
    const counter = (name: string, help: string, value: number): Counter => {
      const made = new Counter(name, help);
      made.setTo(value);
      return made;
    };
    const evicted = new Counter('hr_gateway_readings_evicted_total', 'Readings given up after acceptance, by cause');
    for (const [cause, count] of Object.entries(causes.evicted)) evicted.setTo(count, { cause });
    const missed = new Counter('hr_gateway_readings_missed_total', 'Readings lost before acceptance, by cause');
    for (const [cause, count] of Object.entries(causes.missed)) missed.setTo(count, { cause });
    const depth = new Gauge('hr_gateway_queue_depth', 'Readings in the queue');
    depth.set(ledger.queued);
    const oldest = new Gauge('hr_gateway_queue_oldest_age_seconds', 'Age of the oldest reading in the queue');
    oldest.set(this.#oldestAgeSeconds());
    const uplink = new Gauge('hr_gateway_uplink_up', '1 where the stream takes readings');
    uplink.set(['ok', 'throttled'].includes(this.#drain.uplink.current.state) ? 1 : 0);
    const size = new Gauge('hr_gateway_queue_bytes', 'Bytes that the queue takes on disk');
    size.set(bytes);
    const dead = new Gauge('hr_gateway_dead_letters', 'Dead letters');
    dead.set(ledger.dead);
    return [
      counter('hr_gateway_readings_accepted_total', 'Readings accepted', ledger.accepted).read(),
      counter('hr_gateway_readings_shipped_total', 'Readings shipped', ledger.shipped).read(),
      counter(
        'hr_gateway_readings_duplicate_total',
        'Readings that came again and were not taken',
        this.#intake?.duplicates ?? 0,
      ).read(),
      counter('hr_gateway_commits_total', 'Commits of the queue since the start', commits).read(),
      evicted.read(),
      missed.read(),
      depth.read(),
      oldest.read(),
      uplink.read(),
      size.read(),
      dead.read(),
      this.#commitSeconds.read(),
      ...this.#drain.metrics.read(),
    ];
  }

  async stop(): Promise<void> {
    await this.#drain.stop();
    // The last commit comes before the line goes, so that bridges hear of it.
    await this.#queue.stop();
    this.#reporter?.stop();
    await this.#link?.stop();
    this.#lock?.release();
    this.#lock = undefined;
  }
}
