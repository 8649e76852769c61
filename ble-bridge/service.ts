/**
 * The bridge's composition root. Data flows one way: radio → straps → outbox → publishing. Constructors do no I/O; `start` does, and
 * `stop` ends it in order: straps are disconnected first, then what they sent is stored or spilled.
 */
import type { BridgeStatus } from '../contract/bridge-status.ts';
import { parseDeviceStatus } from '../contract/device-status.ts';
import { parseServiceStatus, type ServiceStatus } from '../contract/service-status.ts';
import { ANY_GATEWAY, DEVICE_STATUS_FILTER, deviceOfTopic, serviceStatusTopic } from '../contract/topics.ts';
import { ControlSocket } from '../service/control/control-socket.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';
import { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import { offlineWill, StatusReporter } from '../service/mqtt/status-reporter.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { gatewayNameOf, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import { BridgeCommands } from './bridge-commands.ts';
import { ForwarderView } from './forwarder-view.ts';
import { BridgeOutbox } from './publishing/bridge-outbox.ts';
import { DevicePublisher } from './publishing/device-publisher.ts';
import { HomeAssistant } from './publishing/home-assistant.ts';
import { LastReadings } from './publishing/last-readings.ts';
import { People } from './publishing/people.ts';
import { ReadingPublisher } from './publishing/reading-publisher.ts';
import { StrapPublisher } from './publishing/strap-publisher.ts';
import { RadioStatistics } from './radio/radio-statistics.ts';
import type { ReplayProgress } from './radio/virtual/replay-source.ts';
import { SourceControl } from './source-control.ts';
import { DeviceNames } from './straps/device-names.ts';
import type { RadioSessionOptions } from './straps/radio-session.ts';
import { SessionSwitch } from './straps/session-switch.ts';
import { parseAliases, StrapFilter, unmatchable } from './straps/strap-filter.ts';
import { StrapEvents } from './straps/strap-ports.ts';

export class BleBridgeService implements Service {
  readonly name = 'ble-bridge';
  readonly #context: ServiceContext;
  readonly #link: MqttLink;
  readonly #reporter: StatusReporter;
  readonly #control: ControlSocket;
  readonly #refused: RefusedMessages;
  readonly #outbox: BridgeOutbox;
  readonly #gateway: () => string;
  readonly #forwarder: ForwarderView;
  readonly #names: DeviceNames;
  readonly #devices: DevicePublisher;
  readonly #homeAssistant: HomeAssistant;
  readonly #lastReadings: LastReadings;
  readonly #people: People;
  readonly #publisher: StrapPublisher;
  readonly #sessions: SessionSwitch;
  readonly #source: SourceControl;
  #lock: DataDirLock | undefined;
  #started = false;

  /** `options`: for tests, quicker recovery. */
  constructor(context: ServiceContext, options: Pick<RadioSessionOptions, 'ladder'> = {}) {
    this.#context = context;
    const { config, log } = context;
    const { name } = this;
    const gateway = gatewayNameOf(config, log);
    this.#gateway = gateway;
    this.#forwarder = new ForwarderView(gateway);
    const aliases = parseAliases(config.BLE_ALIASES);
    for (const entry of unmatchable(config))
      log.warn({ event: 'strap_pattern_unmatchable', ...entry }, 'this entry can never match a strap; correct it');
    const statistics = new RadioStatistics();
    const events = new StrapEvents(log);
    const refused = new RefusedMessages(name, log);
    this.#refused = refused;
    const publish = (topic: string, payload: string): boolean => this.#link.publish(topic, payload);

    this.#outbox = new BridgeOutbox({
      config,
      log,
      refused,
      publish,
      writableLength: () => this.#link.writableLength,
      isRefused: (filter) => this.#link.isRefused(filter),
    });
    this.#link = new MqttLink({
      service: name,
      config,
      log,
      will: () => offlineWill(gateway(), name),
      subscriptions: () => ({
        ...this.#outbox.subscriptions,
        ...server.subscriptions,
        ...this.#reporter.subscriptions,
        [serviceStatusTopic(ANY_GATEWAY, 'forwarder')]: refused.reader('service_status', parseServiceStatus, (topic, status) =>
          this.#forwarderStatus(topic, status),
        ),
        // Before those of the devices: which bridges are online decides whose statuses stand.
        [serviceStatusTopic(ANY_GATEWAY, name)]: refused.reader('service_status', parseServiceStatus, (topic, status) =>
          this.#devices.bridge(topic, status),
        ),
        ...this.#people.subscriptions,
        [DEVICE_STATUS_FILTER]: (topic, payload, retained) => this.#deviceStatus(topic, payload, retained),
      }),
    });

    this.#names = new DeviceNames(config, aliases, log);
    this.#devices = new DevicePublisher(this.#link, gateway);
    this.#homeAssistant = new HomeAssistant(this.#link, gateway);
    this.#lastReadings = new LastReadings(config, log);
    this.#people = new People({
      config,
      log,
      line: this.#link,
      gateway,
      onChange: (device) => this.#publisher.personChanged(device),
    });
    this.#publisher = new StrapPublisher({
      devices: this.#devices,
      homeAssistant: this.#homeAssistant,
      lastReadings: this.#lastReadings,
      names: this.#names,
      people: this.#people,
    });
    this.#publisher.observe(events);
    events.on('radio', () => this.#reporter.changed());

    this.#sessions = new SessionSwitch({
      config,
      log,
      statistics,
      events,
      names: this.#names,
      filter: new StrapFilter(config, aliases),
      clock: this.#forwarder,
      sink: new ReadingPublisher({ outbox: this.#outbox, devices: this.#devices, lastReadings: this.#lastReadings }),
      history: this.#publisher,
      onFatal: (error) => context.onFatal?.(error),
      ...options,
    });
    this.#source = new SourceControl({
      config,
      log,
      forwarder: this.#forwarder,
      canTake: () => this.#outbox.held < config.OUTBOX_WINDOW,
      radioUser: this.#sessions,
    });

    const commands = new BridgeCommands({
      log,
      sessions: this.#sessions,
      names: this.#names,
      people: this.#people,
      publisher: this.#publisher,
    });
    const server = new CommandServer({
      service: name,
      gateway,
      log,
      refused,
      publish,
      handlers: {
        'scan-now': async () => await commands.scanNow(),
        'forget-device': async (args) => await commands.forget(args),
        'rename-device': async (args) => await commands.rename(args),
        'reset-energy': async (args) => await commands.resetEnergy(args),
      },
    });
    this.#reporter = new StatusReporter({
      service: name,
      gateway,
      link: this.#link,
      log,
      checks: () => [
        ...(this.#sessions.checks() ?? [this.#source.check()]),
        this.#link.check(),
        ...this.#outbox.checks(),
        ...this.#names.checks(),
        ...this.#lastReadings.checks(),
        ...this.#people.checks(),
      ],
      details: () => ({ bridge: this.#status() }),
      metrics: () => [...statistics.metrics.read(), ...this.#outbox.metrics(), refused.read()],
    });
    this.#control = new ControlSocket({ service: name, config, log, status: () => this.#reporter.current() });
  }

  /** Throws HrError `data_dir_in_use`, `recording_unreadable`, `config_invalid`. A missing adapter is not an error. */
  async start(): Promise<void> {
    const { config } = this.#context;
    this.#lock = lockDataDir(config, this.name);
    this.#gateway();
    this.#names.load();
    this.#people.load();
    await this.#outbox.start();
    this.#started = true;
    this.#lastReadings.start();
    // Names kept by earlier versions do not record it.
    for (const { address, device } of this.#names.all) if (this.#lastReadings.has(device)) this.#names.delivered(address);
    this.#link.on('up', () => {
      this.#outbox.up();
      this.#people.up();
      this.#publisher.up();
    });
    this.#link.on('down', () => this.#outbox.down());
    this.#link.start();
    this.#reporter.start();
    this.#devices.start();
    this.#control.start();
    await this.#source.start();
  }

  /** Readings that are not stored yet. */
  get held(): number {
    return this.#outbox.held;
  }

  /** How far each recording of a replay is. */
  get replay(): readonly ReplayProgress[] {
    return this.#source.replay;
  }

  /** The source of readings in use; waits up to 5 s until `auto` has decided. */
  async chosenSource(): Promise<BridgeStatus['source']> {
    return await this.#source.chosen();
  }

  #deviceStatus(topic: string, payload: Buffer, retained: boolean): void {
    const device = deviceOfTopic(topic);
    if (device === undefined) return;
    if (payload.length === 0) return this.#devices.removed(device);
    const status = parseDeviceStatus(payload);
    if (!status.ok) return this.#refused.refuse('device_status', topic, status.reason);
    if (status.value.device !== device || this.#devices.received(status.value) || !retained) return;
    const isOurs = status.value.gateway === this.#gateway();
    this.#publisher.retained(status.value, (name) => this.#sessions.find(name), isOurs);
  }

  #forwarderStatus(topic: string, status: ServiceStatus): void {
    const commitIntervalMs = this.#forwarder.received(topic, status);
    if (commitIntervalMs !== undefined) this.#outbox.commitInterval(commitIntervalMs);
    this.#source.reconsider();
  }

  #status(): BridgeStatus {
    return {
      source: this.#sessions.source,
      run: this.#outbox.run,
      radio: this.#sessions.status(),
      outbox: this.#outbox.status(),
    };
  }

  async stop(): Promise<void> {
    await this.#control.stop();
    await this.#source.stop();
    await this.#sessions.stop();
    if (this.#started) {
      this.#started = false;
      this.#devices.stop();
      this.#reporter.stop();
      await this.#outbox.stop();
      await this.#lastReadings.stop();
    }
    await this.#names.stop();
    await this.#people.stop();
    await this.#link.stop();
    this.#lock?.release();
    this.#lock = undefined;
  }
}
