/**
 * The only reader of the environment: typed, validated, frozen. Reports all faults at once, each with name, reason and value.
 * Unknown names with one of our prefixes are refused; settings of earlier 1.x releases are accepted without effect.
 */
import { readFileSync } from 'node:fs';
import type { SettingsInEffect } from '../../contract/control.ts';
import type { ServiceName } from '../../contract/topics.ts';
import { HrError, messageOf } from '../errors/errors.ts';
import { maskSecrets, registerEnvironment, registerSecret } from '../secrets/mask.ts';
import { maskUrl, withoutCredentials } from '../secrets/url-credentials.ts';
import { isSetIn, type Environment } from './environment.ts';
import { REMOVED_SETTINGS, removedSettingsIn } from './removed-settings.ts';
import { SdkEnvironment } from './sdk-variables.ts';
import { parseSettingsFile } from './settings-file.ts';
import { PREFIXES, SETTINGS, type Setting, type SettingName } from './settings.ts';

type ValueOf<S> = S extends { type: 'integer' | 'number' | 'bytes' }
  ? number
  : S extends { type: 'boolean' }
    ? boolean
    : S extends { type: 'list' }
      ? readonly string[]
      : S extends { type: 'choice'; choices: readonly (infer C)[]; default: infer D }
        ? C | (D extends undefined ? undefined : never)
        : S extends { type: 'text'; default: string }
          ? string
          : string | undefined;

/** The effective settings, by their own names: `config.QUEUE_COMMIT_INTERVAL_MS`. */
export type Config = { readonly [K in SettingName]: ValueOf<(typeof SETTINGS)[K]> };

const UNITS: Record<string, number> = { '': 1, b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, tib: 1024 ** 4 };

type Parsed = { value: unknown } | { must: string };

function parseNumber(text: string, setting: { min: number; max: number }, whole: boolean): Parsed {
  const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value) || (whole && !Number.isSafeInteger(value)) || value < setting.min || value > setting.max)
    return { must: `be ${whole ? 'a whole number' : 'a number'}, ${setting.min}-${setting.max}` };
  return { value };
}

function parseBytes(text: string, setting: { min: number; max: number }): Parsed {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kib|mib|gib|tib)?$/i.exec(text);
  const value =
    match === null ? Number.NaN : Math.round(Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(value) || value < setting.min || value > setting.max)
    return { must: `be bytes, or a number with KiB, MiB or GiB, ${setting.min}-${setting.max}` };
  return { value };
}

function parseSetting(text: string, setting: Setting): Parsed {
  switch (setting.type) {
    case 'secret':
      return { value: text };
    case 'text':
      if (setting.pattern !== undefined && !setting.pattern.test(text))
        return { must: setting.must ?? `match ${String(setting.pattern)}` };
      return { value: text };
    case 'integer':
      return parseNumber(text, setting, true);
    case 'number':
      return parseNumber(text, setting, false);
    case 'bytes':
      return parseBytes(text, setting);
    case 'boolean':
      return text === 'true' || text === 'false' ? { value: text === 'true' } : { must: 'be true or false' };
    case 'choice':
      return setting.choices.includes(text) ? { value: text } : { must: `be one of ${setting.choices.join(', ')}` };
    case 'list': {
      const parts = text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      const { pattern, must } = setting;
      if (pattern !== undefined && parts.some((part) => !pattern.test(part))) return { must: must ?? `match ${pattern}` };
      return { value: Object.freeze(parts) };
    }
  }
}

/** Variables with one of our prefixes that systemd sets for its services. */
const FOREIGN = new Set(['WATCHDOG_USEC', 'WATCHDOG_PID']);

function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1)
      row.push(Math.min((row[j - 1] ?? 0) + 1, (previous[j] ?? 0) + 1, (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    previous = row;
  }
  return previous[b.length] ?? 0;
}

function isUnknown(name: string): boolean {
  if (Object.hasOwn(SETTINGS, name) || Object.hasOwn(REMOVED_SETTINGS, name) || FOREIGN.has(name)) return false;
  return PREFIXES.some((prefix) => name.startsWith(prefix));
}

function unknownNameFault(name: string): string {
  const nearest = Object.keys(SETTINGS)
    .map((known) => ({ known, far: distance(name, known) }))
    .sort((a, b) => a.far - b.far)[0];
  const guess = nearest !== undefined && nearest.far <= 3 ? ` (did you mean ${nearest.known}?)` : '';
  return `unknown setting ${name}${guess}`;
}

export { maskUrl } from '../secrets/url-credentials.ts';

/** Settings that may be URLs with credentials. */
const URLS: ReadonlySet<string> = new Set(['MQTT_URL', 'KINESIS_TARGET'] satisfies SettingName[]);

/** A value in printable form: secrets and credentials in URLs are masked. */
export function shownValue(name: SettingName, value: Config[SettingName]): string {
  return value === undefined ? '' : shownSetting(name, typeof value === 'object' ? value.join(',') : `${value}`);
}

/** The text of a setting in printable form: secrets and credentials in URLs are masked. */
export function shownSetting(name: SettingName, text: string): string {
  if ((SETTINGS[name] as Setting).type === 'secret') return '***';
  return maskSecrets(URLS.has(name) ? maskUrl(text) : text);
}

function checkTogether(config: Config): string[] {
  const faults: string[] = [];
  if (config.BLE_SOURCE === 'replay' && config.REPLAY_FILE === undefined)
    faults.push('REPLAY_FILE: must be set when BLE_SOURCE is replay');
  for (const kind of ['MQTT', 'ADMIN'] as const)
    if ((config[`${kind}_TLS_CERT_FILE`] === undefined) !== (config[`${kind}_TLS_KEY_FILE`] === undefined))
      faults.push(`${kind}_TLS_CERT_FILE: must be set together with ${kind}_TLS_KEY_FILE`);
  const iot = ['KINESIS_IOT_ENDPOINT', 'KINESIS_IOT_ROLE_ALIAS', 'KINESIS_IOT_CERT_FILE', 'KINESIS_IOT_KEY_FILE'] as const;
  const missing = iot.filter((name) => config[name] === undefined);
  if (missing.length > 0 && missing.length < iot.length)
    faults.push(
      `${missing.join(', ')}: must be set together with ${iot.filter((name) => config[name] !== undefined).join(', ')}`,
    );
  for (const name of ['MQTT_URL', 'KINESIS_TARGET'] as const)
    if (config[name].includes('://') && !URL.canParse(withoutCredentials(config[name])))
      faults.push(`${name}: must be a URL (got ${shownValue(name, config[name])})`);
  return faults;
}

/** The broker if MQTT_URL is not set. Releases before 1.1 had no MQTT_SERVICES_PORT, so an external broker is where they looked for it. */
function defaultBrokerUrl({ MQTT_BROKER, MQTT_SERVICES_PORT }: Record<string, unknown>): string {
  if (MQTT_BROKER === 'external') return 'mqtt://127.0.0.1:1883';
  const isKnown = typeof MQTT_SERVICES_PORT === 'number' && MQTT_SERVICES_PORT > 0;
  return isKnown ? `mqtt://127.0.0.1:${MQTT_SERVICES_PORT}` : SETTINGS.MQTT_URL.default;
}

/**
 * Reads the settings from an environment. An empty value counts as not set.
 * Throws HrError `config_invalid`; its detail lists all faults, separated by `; `.
 */
export function readConfig(environment: Environment): Config {
  // First of all: faults name values.
  registerEnvironment(environment);
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, Setting][]) {
    const text = environment[name] ?? '';
    if (!isSetIn(environment, name)) {
      values[name] = setting.default;
      continue;
    }
    const parsed = parseSetting(text.trim(), setting);
    if (setting.type === 'secret') registerSecret(text.trim());
    if ('value' in parsed) values[name] = parsed.value;
    else faults.push(`${name}: must ${parsed.must} (got ${shownValue(name, text)})`);
  }
  if (!isSetIn(environment, 'MQTT_URL')) values['MQTT_URL'] = defaultBrokerUrl(values);
  for (const name of Object.keys(environment)) if (isUnknown(name)) faults.push(unknownNameFault(name));
  const config = Object.freeze(values) as unknown as Config;
  if (faults.length === 0) faults.push(...checkTogether(config));
  if (faults.length > 0) throw new HrError('config_invalid', { operation: 'read the configuration', detail: faults.join('; ') });
  return config;
}

/** Reads the settings from the environment of this process. Throws as `readConfig` does. */
export function processConfig(): Config {
  return readConfig(process.env);
}

/**
 * Takes the settings of a file as if the environment had set them; what the environment sets itself wins. Throws HrError `config_invalid`
 * if the file cannot be read.
 */
export function useSettingsFile(file: string): void {
  let values: Record<string, string>;
  try {
    values = parseSettingsFile(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new HrError('config_invalid', { operation: `read the settings in ${file}`, detail: messageOf(error), cause: error });
  }
  for (const [name, value] of Object.entries(values)) if (!isSetIn(process.env, name)) process.env[name] = value;
}

/** Names of settings of earlier 1.x releases that the environment of this process still sets. */
export function processRemovedSettings(): string[] {
  return removedSettingsIn(process.env);
}

export interface EffectiveSetting {
  name: SettingName;
  /** In printable form, secrets masked. */
  value: string;
  source: 'environment' | 'default';
}

/** The effective values and where each comes from, secrets masked (`npm run config`). */
export function effectiveSettings(environment: Environment): EffectiveSetting[] {
  const config = readConfig(environment);
  return (Object.keys(SETTINGS) as SettingName[]).map((name) => ({
    name,
    value: shownValue(name, config[name]),
    source: isSetIn(environment, name) ? 'environment' : 'default',
  }));
}

/** Text that `readConfig` reads as this value; undefined if there is none. */
function textOfValue(value: Config[SettingName]): string | undefined {
  if (value === undefined || value === '') return undefined;
  return typeof value === 'object' ? value.join(',') : `${value}`;
}

/**
 * The settings that a running service of this process uses, as they are in effect, secrets included: for its control socket, which only
 * its user can open.
 */
export function settingsInEffect(service: ServiceName, config: Config): SettingsInEffect {
  const settings: SettingsInEffect = {};
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const text = textOfValue(config[name]);
    if (text !== undefined && (SETTINGS[name] as Setting).usedBy.includes(service))
      settings[name] = { text, isSet: isSetIn(process.env, name) };
  }
  return settings;
}

/**
 * The settings of a command beside a running box: what this process's environment sets, else what the box uses, else the default. Settings
 * that only the box's version knows are left out. Throws as `readConfig` does.
 */
export function configBeside(settings: SettingsInEffect): Config {
  const known = Object.entries(settings).filter(([name]) => Object.hasOwn(SETTINGS, name) && !isSetIn(process.env, name));
  return readConfig({ ...process.env, ...Object.fromEntries(known.map(([name, { text }]) => [name, text])) });
}

/** The effective settings of this process. */
export function effectiveProcessSettings(): EffectiveSetting[] {
  return effectiveSettings(process.env);
}

/**
 * The environment of a child service: that of this process with some settings replaced, and without removed settings, which this
 * process has already reported.
 */
export function childEnvironment(overrides: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !Object.hasOwn(REMOVED_SETTINGS, name));
  return { ...Object.fromEntries(kept), ...overrides };
}

/** What only the forwarder needs: credentials of AWS, and proxies, whose URLs may have a password. */
const OF_FORWARDER = /^(AWS_.*|(HTTPS?|ALL)_PROXY)$/i;

/** As `childEnvironment`, for the bridge, which reads what strangers send by radio: without the forwarder's credentials. */
export function bridgeEnvironment(overrides: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(childEnvironment(overrides)).filter(([name]) => !OF_FORWARDER.test(name)));
}

/** True if the environment of this process sets a value. */
export function isSet(name: SettingName): boolean {
  return isSetIn(process.env, name);
}

/** Device and inode of the stream that the systemd journal reads (systemd.exec(5)), or undefined. */
export function journalStream(): string | undefined {
  return process.env['JOURNAL_STREAM'];
}

/** Socket on which systemd expects notifications (sd_notify(3)), or undefined. */
export function systemdSocket(): string | undefined {
  return process.env['NOTIFY_SOCKET'];
}

/** The watchdog timeout of the systemd unit in microseconds, or undefined. */
export function systemdWatchdogUs(): number | undefined {
  const limit = Number(process.env['WATCHDOG_USEC']);
  return Number.isFinite(limit) && limit > 0 ? limit : undefined;
}

/** The variables of the AWS SDK and of proxies in the environment of this process. */
export function sdkEnvironment(): SdkEnvironment {
  return new SdkEnvironment(process.env);
}

/** Suppresses the AWS SDK's notice about future Node versions, which would appear in the middle of our own output. */
export function withoutSdkNotice(): void {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
}
