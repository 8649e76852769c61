/** What a process reports once at start about its settings: removed ones, and a broker that is only assumed to be external. */
import type { Logger } from '../log/log.ts';
import type { BrokerChoice } from '../network/broker.ts';
import { maskUrl, processRemovedSettings, type Config } from '../config/config.ts';
import { REMOVED_SETTINGS } from '../config/removed-settings.ts';

/** Logs one WARN that names all removed settings which the environment still sets; nothing if there are none. */
export function warnOfRemovedSettings(log: Logger, names: readonly string[] = processRemovedSettings()): void {
  if (names.length === 0) return;
  const settings = Object.fromEntries(names.map((name) => [name, REMOVED_SETTINGS[name] ?? '']));
  log.warn(
    { event: 'setting_removed', code: 'setting_removed', settings },
    `settings without effect, remove them: ${names.join(', ')}`,
  );
}

/** Logs one WARN if the broker is external only by assumption. */
export function warnOfAssumedBroker(log: Logger, broker: BrokerChoice, config: Pick<Config, 'MQTT_URL'>): void {
  if (!broker.assumed) return;
  log.warn(
    { event: 'broker_assumed', code: 'broker_assumed', broker: maskUrl(config.MQTT_URL) },
    'MQTT_URL names an external broker: set MQTT_BROKER=external, or MQTT_BROKER=own if it is the gateway of this box',
  );
}
