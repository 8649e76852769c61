/** Certificates for any names and any time, signed by an authority of the test's own, made by openssl. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

export interface CertificateOptions {
  /** Names and addresses: `DNS:kinesis.eu-west-1.amazonaws.com`, `IP:::1`. None for a client's certificate. */
  names?: readonly string[];
  /** Subject: `box-4711`. */
  subject?: string;
  /** Default: since yesterday, for 30 days. */
  from?: Date;
  to?: Date;
}

export interface SigningAuthority {
  caFile: string;
  sign(options?: CertificateOptions): CertificateFiles;
}

const DAY_MS = 86_400_000;
/** `20261130120000Z`. */
const timeOf = (date: Date): string => `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;

const CONFIG = `
[ca]
default_ca = own
[own]
database = FOLDER/index.txt
serial = FOLDER/serial
new_certs_dir = FOLDER
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
`;

/** An authority in an empty folder of its own. */
export function makeSigningAuthority(folder: string): SigningAuthority {
  const file = (name: string): string => path.join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = '/CN=authority of the test';
  openssl('req', '-new', ...key, '-keyout', file('ca.key'), '-subj', subject, '-out', file('ca.csr'));
  writeFileSync(file('ca.cnf'), CONFIG.replaceAll('FOLDER', folder));
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('serial'), '1000\n');
  writeFileSync(file('ca.ext'), 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n');
  const ca = ['ca', '-batch', '-notext', '-config', file('ca.cnf'), '-keyfile', file('ca.key')];
  // Valid for as long as any certificate that it signs.
  const always = ['-startdate', '20000101000000Z', '-enddate', '20991231000000Z'];
  openssl(...ca, '-selfsign', ...always, '-extfile', file('ca.ext'), '-in', file('ca.csr'), '-out', file('ca.pem'));
  let count = 0;
  return {
    caFile: file('ca.pem'),
    sign({ names = [], subject: commonName = 'localhost', from = new Date(Date.now() - DAY_MS), to } = {}) {
      count += 1;
      const [keyFile, certFile, request, extensions] = ['key', 'pem', 'csr', 'ext'].map((ending) => file(`${count}.${ending}`));
      const files = { keyFile: keyFile ?? '', certFile: certFile ?? '' };
      openssl('req', '-new', ...key, '-keyout', files.keyFile, '-subj', `/CN=${commonName}`, '-out', request ?? '');
      const san = names.length === 0 ? 'extendedKeyUsage=clientAuth' : `subjectAltName=${names.join(',')}`;
      writeFileSync(extensions ?? '', `basicConstraints=CA:false\n${san}\n`);
      const end = to ?? new Date(Math.max(from.getTime(), Date.now()) + 30 * DAY_MS);
      const span = ['-startdate', timeOf(from), '-enddate', timeOf(end)];
      const signed = ['-extfile', extensions ?? '', '-in', request ?? '', '-out', files.certFile];
      openssl(...ca, '-cert', file('ca.pem'), ...span, ...signed);
      return files;
    },
  };
}
