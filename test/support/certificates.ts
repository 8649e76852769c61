/** Certificates for tests, made by openssl: a certificate authority and the certificates that it signs. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface Authority {
  /** The authority's certificate (PEM). */
  caFile: string;
  /** Writes a pair for localhost and 127.0.0.1 into `certFile` and `keyFile`, replacing what is there. */
  issue(days?: number): void;
  certFile: string;
  keyFile: string;
}

export function makeAuthority(folder: string, name = 'box'): Authority {
  const file = (ending: string): string => path.join(folder, `${name}${ending}`);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    file('-ca.key'),
    '-out',
    file('-ca.pem'),
    '-days',
    '30',
    '-subj',
    `/CN=test authority ${name}`,
  );
  const authority: Authority = {
    caFile: file('-ca.pem'),
    certFile: file('.pem'),
    keyFile: file('.key'),
    issue(days = 30) {
      openssl('req', ...key, '-keyout', file('.new.key'), '-out', file('.csr'), '-subj', '/CN=localhost');
      writeFileSync(file('.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
      openssl(
        'x509',
        '-req',
        '-in',
        file('.csr'),
        '-CA',
        file('-ca.pem'),
        '-CAkey',
        file('-ca.key'),
        '-CAcreateserial',
        '-days',
        String(days),
        '-extfile',
        file('.ext'),
        '-out',
        file('.new.pem'),
      );
      writeFileSync(file('.key'), readFileSync(file('.new.key')));
      writeFileSync(file('.pem'), readFileSync(file('.new.pem')));
    },
  };
  authority.issue();
  return authority;
}
