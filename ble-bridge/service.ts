/** The bridge: radio → links → readings → outbox → MQTT. This file only puts the parts together. */
import type { CommandArgs } from '../contract/commands.ts';
import { parseDeviceStatus } from '../contract/device-status.ts';
import { parseServiceStatus, type BridgeStatus, type ForwarderStatus, type ServiceDetails } from '../contract/service-status.ts';
import { DEVICE_STATUS_FILTER, serviceStatusTopic } from '../contract/topics.ts';
import { CommandServer } from '../service/mqtt/command-server.ts';
import { gatewayName, lockDataDir, type DataDirLock } from '../service/storage/data-dir.ts';
import { HrError } from '../service/errors/errors.ts';
import type { Service, ServiceContext } from '../service/process/lifecycle.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';
import { offlineWill, StatusReporter, type CheckReport } from '../service/mqtt/status-reporter.ts';
import { clockState } from '../service/process/clock-state.ts';
import { DeviceNames } from './straps/device-names.ts';
import { DevicePublisher } from './publishing/device-publisher.ts';
import { EarlierStatuses } from './publishing/earlier-statuses.ts';
import { HomeAssistant } from './publishing/home-assistant.ts';
import { LastReadings } from './publishing/last-readings.ts';
import { Outbox } from '../outbox/outbox.ts';
import { RadioSession } from './straps/radio-session.ts';
import { RadioStatistics } from './radio/radio-statistics.ts';
import { SourceControl } from './source-control.ts';
import { parseAliases, StrapFilter } from './straps/strap-filter.ts';
import type { Strap } from './straps/strap.ts';
import type { Radio } from './radio/radio.ts';

const FORWARDER_STATUS = serviceStatusTopic('forwarder');
/** HRS 3.3: the one command of the control point. */
const RESET_ENERGY = Buffer.from([0x01]);

export class BleBridgeService implements Service {
  readonly name = 'ble-bridge';
  readonly #context: ServiceContext;
  readonly #statistics = new RadioStatistics();
  readonly #link: MqttLink;
  readonly #reporter: StatusReporter;
  readonly #outbox: Outbox;
  readonly #names: DeviceNames;
  readonly #filter: StrapFilter;
  readonly #devices: DevicePublisher;
  readonly #homeAssistant: HomeAssistant;
  readonly #earlier: EarlierStatuses;
  readonly #lastReadings: LastReadings;
  readonly #source: SourceControl;
  readonly #ladder: RadioSessionOptions['ladder'];
  #forwarder: ForwarderStatus | undefined;
  #session: RadioSession | undefined;
  #lock: DataDirLock | undefined;
  #started = false;
  #stopped = false;

  constructor(context: ServiceContext, options: Pick<RadioSessionOptions, 'ladder'> = {}) {
    this.#context = context;
    this.#ladder = options.ladder;
    const { config, log } = context;
    const commands = new CommandServer({
      service: this.name,
      log,
      publish: (topic, payload) => this.#link.publish(topic, payload),
      handlers: {
        'scan-now': async () => ({ scanning: (await this.#session?.scanNow()) ?? false }),
        'forget-device': async (args) => await this.#forget(args),
        'reset-energy': async (args) => await this.#resetEnergy(args),
      },
    });
    this.#outbox = new Outbox({
      config,
      log,
      publish: (topic, payload) => this.#link.publish(topic, payload),
      writableLength: () => this.#link.writableLength,
    });
    this.#link = new MqttLink({
      service: this.name,
      config,
      log,
      will: offlineWill(this.name),
      subscriptions: () => ({
        ...this.#outbox.subscriptions,
        ...commands.subscriptions,
        [FORWARDER_STATUS]: (_: string, payload: Buffer) => this.#heardForwarder(payload),
        [DEVICE_STATUS_FILTER]: (topic: string, payload: Buffer, retained: boolean) => {
          if (retained) this.#earlierStatus(topic, payload);
        },
      }),
    });
    const aliases = parseAliases(config.BLE_ALIASES);
    this.#names = new DeviceNames(config, aliases, log);
    this.#filter = new StrapFilter(config, aliases);
    this.#devices = new DevicePublisher(this.#link);
    this.#homeAssistant = new HomeAssistant(this.#link);
    this.#earlier = new EarlierStatuses();
    this.#lastReadings = new LastReadings(config, log);
    this.#source = new SourceControl({
      config,
      log,
      target: () => this.#forwarder?.target,
      canTake: () => this.#outbox.held < config.OUTBOX_WINDOW,
      use: async (radio) => await this.#use(radio),
    });
    this.#reporter = new StatusReporter({
      service: this.name,
      link: this.#link,
      checks: () => this.#checks(),
      details: () => this.#details(),
      metrics: () => [...this.#statistics.metrics(), ...this.#outbox.metrics()],
    });
  }

  /** Throws HrError `data_dir_in_use`, `recording_unreadable`, `config_invalid`. A missing adapter is no error. */
  async start(): Promise<void> {
    const { config } = this.#context;
    this.#lock = lockDataDir(config, this.name);
    this.#names.load();
    this.#homeAssistant.start(gatewayName(config));
    await this.#outbox.start();
    this.#started = true;
    this.#lastReadings.start();
    this.#link.on('up', () => {
      this.#outbox.up();
      this.#devices.up();
      this.#homeAssistant.up();
    });
    this.#link.on('down', () => this.#outbox.down());
    this.#link.start();
    this.#reporter.start();
    this.#devices.start();
    await this.#source.start();
  }

  /** Which source is in use; waits until `auto` has decided, for some seconds at most. */
  async chosenSource(): Promise<BridgeStatus['source']> {
    return await this.#source.chosen();
  }

  /** Replaces the radio in use; undefined: none. */
  async #use(radio: Radio | undefined): Promise<void> {
    const old = this.#session;
    this.#session = undefined;
    if (old !== undefined) {
      await old.stop();
      for (const strap of old.straps.all) if (old.radio.kind !== radio?.kind) this.#unpublish(strap.device);
    }
    if (radio === undefined || this.#stopped) return this.#reporter.changed();
    this.#forgetOtherSources(radio);
    const { config, log, onFatal } = this.#context;
    this.#session = new RadioSession({
      config,
      log,
      radio,
      names: this.#names,
      filter: this.#filter,
      statistics: this.#statistics,
      ...(this.#ladder === undefined ? {} : { ladder: this.#ladder }),
      clock: () => clockState(new Date(), this.#forwarder),
      accept: (fields) => {
        this.#outbox.accept(fields);
        this.#lastReadings.read(fields.device ?? '', fields.timestamp);
      },
      onNew: (strap, renamedFrom) => this.#newStrap(strap, renamedFrom),
      onLetGo: (strap) => this.#unpublish(strap.device),
      onStatus: (strap) => this.#devices.changed(strap.device),
      onGap: (strap, gap) => this.#devices.gap(strap.device, gap),
      onChanged: () => this.#reporter.changed(),
      onFatal: (error) => {
        this.#reporter.changed();
        onFatal?.(error);
      },
    });
    await this.#session.start();
    this.#reporter.changed();
  }

  /** Straps of another source that an earlier run left behind: they do not exist for this one. */
  #forgetOtherSources(radio: Radio): void {
    for (const known of this.#names.all)
      if (known.source !== radio.kind && known.source !== 'noble') {
        this.#names.forget(known.device);
        this.#unpublish(known.device);
      }
  }

  #newStrap(strap: Strap, renamedFrom: string | undefined): void {
    if (renamedFrom !== undefined) this.#unpublish(renamedFrom);
    const earlier = this.#earlier.take(strap.device);
    if (earlier !== undefined) strap.seed(earlier);
    const lastRead = this.#lastReadings.take(strap.device);
    if (lastRead !== undefined) strap.seedLastReading(lastRead);
    this.#devices.add(strap.device, () => strap.status());
    this.#homeAssistant.add(strap.device, strap.status().name);
  }

  #unpublish(device: string): void {
    this.#devices.remove(device);
    this.#homeAssistant.remove(device);
  }

  /** A retained status: what an earlier process of ours left. Of a strap that is not heard it would claim what is no more. */
  #earlierStatus(topic: string, payload: Buffer): void {
    const status = payload.length === 0 ? undefined : parseDeviceStatus(payload);
    if (status === undefined || !status.ok || `hr/${status.value.device}/status` !== topic) return;
    const { device } = status.value;
    const strap = this.#session?.straps.find(device);
    if (strap !== undefined) return strap.seed(status.value);
    const known = this.#names.all.find((candidate) => candidate.device === device);
    if (known === undefined) return;
    this.#devices.add(device, this.#earlier.keep(status.value));
  }

  #heardForwarder(payload: Buffer): void {
    const status = parseServiceStatus(payload);
    if (!status.ok) return;
    this.#forwarder = status.value.state === 'online' ? status.value.forwarder : undefined;
    if (status.value.forwarder !== undefined) this.#outbox.commitInterval(status.value.forwarder.commit_interval_ms);
    this.#source.reconsider();
  }

  #find(device: string): Strap {
    const strap = this.#session?.straps.find(device);
    if (strap === undefined)
      throw new HrError('strap_unknown', { operation: 'find a strap', detail: `${device} is not known here` });
    return strap;
  }

  async #forget({ device }: CommandArgs<'forget-device'>): Promise<{ forgotten: string }> {
    const strap = this.#session?.straps.find(device);
    const known = this.#names.forget(device);
    if (strap === undefined && known === undefined)
      throw new HrError('strap_unknown', { operation: 'forget a device', detail: `${device} is not known here` });
    if (strap !== undefined) await this.#session?.straps.forget(strap);
    this.#earlier.take(device);
    this.#unpublish(device);
    this.#context.log.info({ event: 'device_forgotten', device }, 'a device was forgotten by request');
    return { forgotten: device };
  }

  async #resetEnergy({ device }: CommandArgs<'reset-energy'>): Promise<{ reset: string }> {
    const outcome = await this.#find(device).link.writeControlPoint(RESET_ENERGY);
    const operation = 'reset the energy count';
    if (outcome === 'not_connected')
      throw new HrError('strap_not_connected', { operation, detail: `${device} is not connected` });
    if (outcome === 'not_supported')
      throw new HrError('strap_has_no_energy_count', { operation, detail: `${device} has no control point` });
    return { reset: device };
  }

  #checks(): CheckReport[] {
    return [...(this.#session?.checks() ?? [this.#source.check()]), ...this.#outbox.checks()];
  }

  #details(): ServiceDetails {
    const radio = this.#session?.status() ?? {
      adapter: null,
      state: 'missing',
      advertisements_per_minute: 0,
      connects: 0,
      disconnects: {},
      reconnect_ms_p50: null,
      reconnect_ms_p95: null,
      straps_limit: null,
    };
    return {
      bridge: { source: this.#session?.radio.kind ?? 'none', run: this.#outbox.run, radio, outbox: this.#outbox.status() },
    };
  }

  /** Straps first, so that they are told goodbye; then what they sent is stored or spilled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#source.stop();
    await this.#session?.stop();
    if (this.#started) {
      this.#started = false;
      this.#devices.stop();
      this.#reporter.stop();
      await this.#outbox.stop();
      await this.#lastReadings.stop();
    }
    await this.#names.saved();
    await this.#link.stop();
    this.#lock?.release();
    this.#lock = undefined;
  }
}
