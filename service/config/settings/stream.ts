/** Settings of the Kinesis stream: the local one, and the one that readings are sent to. */
import { STREAM_ADDRESS } from '../stream-address.ts';
import type { Setting } from './setting.ts';

export const STREAM_SETTINGS = {
  LOCAL_KINESIS_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address of the local stream: the local stream listens on it, the forwarder connects to it.',
    usedBy: ['local-kinesis', 'forwarder'],
  },
  LOCAL_KINESIS_PORT: {
    type: 'integer',
    default: 4567,
    min: 0,
    max: 65535,
    doc: 'Port of the local stream.',
    usedBy: ['local-kinesis', 'forwarder'],
  },
  LOCAL_KINESIS_ALLOWED_HOSTS: {
    type: 'list',
    default: [],
    doc:
      'Further host names that the local stream answers to, besides localhost, IP addresses, `LOCAL_KINESIS_HOST` and ' +
      '`local-kinesis` (its name in docker-compose.yml).',
    usedBy: ['local-kinesis'],
  },
  LOCAL_KINESIS_LIMITS: {
    type: 'boolean',
    default: true,
    doc:
      'Whether the local stream enforces the throughput limits of a real shard, and the calls per second of an account. ' +
      'Disable it to measure throughput without them.',
    usedBy: ['local-kinesis'],
  },
  LOCAL_KINESIS_FAULTS: {
    type: 'boolean',
    default: false,
    doc: 'Enables fault injection in the local stream (`POST /control/faults`), for tests and drills.',
    usedBy: ['local-kinesis'],
  },
  KINESIS_TARGET: {
    type: 'text',
    default: 'local',
    pattern: /^(local|aws|https?:\/\/.+)$/,
    must: 'be local, aws or an http(s) URL',
    doc: 'Where readings are sent: `local` (the embedded stream), `aws`, or an endpoint URL.',
    usedBy: ['forwarder'],
  },
  KINESIS_STREAM: {
    type: 'text',
    default: 'hr-data-stream',
    pattern: STREAM_ADDRESS,
    must: 'be 1-128 of letters, digits, _ . -, or the ARN of a stream',
    doc:
      'Name of the stream, or its ARN (`arn:aws:kinesis:eu-west-1:123456789012:stream/hr-data-stream`) if it is in another ' +
      'account; the ARN also sets the region.',
    usedBy: ['forwarder', 'local-kinesis'],
  },
  KINESIS_MODE: {
    type: 'choice',
    default: 'records',
    choices: ['records', 'aggregated'],
    doc:
      '`records`: one record per reading. `aggregated`: KPL aggregates of up to 25 KiB with the readings of one device; ' +
      'fewer PUT units and shards.',
    usedBy: ['forwarder'],
  },
  KINESIS_LINGER_MS: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 60_000,
    doc:
      'How long a reading waits for others before it is sent; raise it for fewer, larger requests. 0: sent at once if ' +
      'the uplink is idle.',
    usedBy: ['forwarder'],
  },
  KINESIS_PARTITION_KEY: {
    type: 'text',
    default: 'device',
    pattern: /^.{1,256}$/u,
    must: 'be 1-256 characters',
    doc: '`device`, `random`, or any other text as a fixed key.',
    usedBy: ['forwarder'],
  },
  KINESIS_ACCOUNTS: {
    type: 'choice',
    default: 'readings',
    choices: ['readings', 'records', 'off'],
    doc:
      'How the stream tells what is missing. `readings`: once a minute, in a field of a reading. `records`: in records of their ' +
      'own, once a minute, also without news. `off`: not at all.',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_ENDPOINT: {
    type: 'text',
    default: undefined,
    pattern: /^(?!-)[a-zA-Z0-9.-]{1,253}(:\d{1,5})?$/,
    must: 'be a host name, with :port if it is not 443',
    doc:
      "The account's endpoint of the AWS IoT credentials provider (`aws iot describe-endpoint --endpoint-type iot:CredentialProvider`). " +
      'If set, the box gets its AWS credentials by its X.509 certificate, and has no long-lived key: docs/fleet.md.',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_ROLE_ALIAS: {
    type: 'text',
    default: undefined,
    pattern: /^[\w=,@-]{1,128}$/,
    must: 'be 1-128 of letters, digits, = , @ - _',
    doc: 'Role alias that the certificate may use (an output of `cloud/iot-template.yaml`).',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_THING_NAME: {
    type: 'text',
    default: undefined,
    pattern: /^[a-zA-Z0-9:_-]{1,128}$/,
    must: 'be 1-128 of letters, digits, : _ -',
    doc: 'Name of the thing that the certificate is attached to. Unset: the name of this box.',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_CERT_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Certificate of this box (PEM). A renewed file is used when the credentials are next refreshed.',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_KEY_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Private key (PEM) of `KINESIS_IOT_CERT_FILE`.',
    usedBy: ['forwarder'],
  },
  KINESIS_IOT_CA_FILE: {
    type: 'text',
    default: undefined,
    doc:
      'Certificate authority (PEM) that signs the certificate of `KINESIS_IOT_ENDPOINT`. Unset: `AWS_CA_BUNDLE`, else the authorities ' +
      'built into Node, which include those of Amazon.',
    usedBy: ['forwarder'],
  },
  UPLINK_MAX_BYTES_PER_SECOND: {
    type: 'bytes',
    default: 0,
    min: 0,
    max: 1024 * 1024 * 1024,
    doc:
      'What the forwarder may exchange with the stream per second, in both directions, as measured on the wire (headers and ' +
      'retries included): for metered lines. 0: no limit.',
    usedBy: ['forwarder'],
  },
  ALLOW_TEST_READINGS: {
    type: 'boolean',
    default: false,
    doc: 'Allows simulated and replayed readings to be sent to a target that is not local.',
    usedBy: ['forwarder'],
  },
} as const satisfies Record<string, Setting>;
