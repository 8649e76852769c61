/** Settings of the admin API and its page. */
import type { Setting } from './setting.ts';

export const ADMIN_SETTINGS = {
  ADMIN_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc:
      'Address that the admin API and its page listen on. Set `0.0.0.0` to let other hosts connect; read SECURITY.md ' + 'first.',
    usedBy: ['admin-api'],
  },
  ADMIN_PORT: {
    type: 'integer',
    default: 8080,
    min: 0,
    max: 65535,
    doc: 'Port of the admin API and its page (0: any free port).',
    usedBy: ['admin-api'],
  },
  ADMIN_ANONYMOUS: {
    type: 'choice',
    default: undefined,
    choices: ['read', 'none'],
    doc: 'What is available without the token: `read` or `none`. Unset: `read` on loopback, `none` on any other address.',
    usedBy: ['admin-api'],
  },
  ADMIN_ALLOWED_HOSTS: {
    type: 'list',
    default: [],
    doc: 'Further host names, besides localhost and IP addresses, that the admin API and its page answer to.',
    usedBy: ['admin-api'],
  },
  ADMIN_TLS_CERT_FILE: {
    type: 'text',
    default: undefined,
    doc:
      'Certificate chain (PEM). If set, the admin API and its page are served over HTTPS only. A renewed file is ' +
      'reloaded without a restart.',
    usedBy: ['admin-api'],
  },
  ADMIN_TLS_KEY_FILE: {
    type: 'text',
    default: undefined,
    doc: 'Private key (PEM) of `ADMIN_TLS_CERT_FILE`.',
    usedBy: ['admin-api'],
  },
} as const satisfies Record<string, Setting>;
