import { readConfig, type Config } from '../../service/config/config.ts';
import { createLogger, type Logger } from '../../service/log/log.ts';

/** A config for a test: the defaults, free ports, no watchdog, no log, and what is given. */
export function testConfig(environment: Record<string, string>): Config {
  return readConfig({
    GATEWAY_NAME: 'test-box',
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_SERVICES_PORT: '0',
    ADMIN_PORT: '0',
    LOCAL_KINESIS_PORT: '0',
    WATCHDOG_TIMEOUT_MS: '0',
    LOG_LEVEL: 'silent',
    LOG_PRETTY: 'false',
    ...environment,
  });
}

/** The logger for a test config. */
export function testLog(config: Config, service = 'test'): Logger {
  return createLogger(service, config);
}
