/**
 * Certificate and key of a listener, read from files and reloaded when they change: a renewed certificate needs no restart. A pair that
 * does not match is rejected, and the previous one stays in use.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls';
import { HrError, messageOf } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { failing, okCheck, warning, type CheckReport } from '../health/check-report.ts';

const CHECK_EVERY_MS = 2000;
const EXPIRES_SOON_MS = 14 * 86_400_000;

export interface TlsFilesOptions {
  certFile: string;
  keyFile: string;
  log: Logger;
}

export class TlsFiles {
  readonly #options: TlsFilesOptions;
  readonly #servers = new Set<Pick<Server, 'setSecureContext'>>();
  #timer: NodeJS.Timeout | undefined;
  #seen = '';
  #validTo = 0;
  #trouble = '';

  constructor(options: TlsFilesOptions) {
    this.#options = options;
  }

  /** Reads the pair and starts to watch the files. Throws HrError `certificate_unusable`. */
  start(): SecureContextOptions {
    this.#seen = this.#stamp();
    const context = this.#read();
    this.#timer = setInterval(() => this.#reloadIfChanged(), CHECK_EVERY_MS);
    return context;
  }

  /** Registers a server: its new connections get the current certificate. */
  serve(server: Pick<Server, 'setSecureContext'>): void {
    this.#servers.add(server);
  }

  /** Warns of a certificate that expires within 14 days or cannot be read; fails once it has expired. */
  check(): CheckReport {
    if (this.#trouble !== '')
      return warning('certificate', 'certificate_unusable', `${this.#trouble}; the previous one stays in use`);
    const leftMs = this.#validTo - Date.now();
    if (leftMs > EXPIRES_SOON_MS) return okCheck('certificate');
    const expires = new Date(this.#validTo).toISOString();
    const { certFile } = this.#options;
    return leftMs > 0
      ? warning('certificate', 'certificate_expiring', `the certificate ${certFile} expires on ${expires}`)
      : failing('certificate', 'certificate_expired', `the certificate ${certFile} expired on ${expires}`);
  }

  #stamp(): string {
    return [this.#options.certFile, this.#options.keyFile]
      .map((file) => {
        try {
          const { mtimeMs, size, ino } = statSync(file);
          return `${mtimeMs} ${size} ${ino}`;
        } catch {
          return '';
        }
      })
      .join(' ');
  }

  #read(): SecureContextOptions {
    const { certFile, keyFile } = this.#options;
    try {
      const context: SecureContextOptions = { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' };
      // Throws if key and certificate do not match.
      createSecureContext(context);
      this.#validTo = Date.parse(new X509Certificate(context.cert as Buffer).validTo);
      return context;
    } catch (error) {
      throw new HrError('certificate_unusable', {
        operation: `read ${certFile} and ${keyFile}`,
        detail: messageOf(error),
        cause: error,
      });
    }
  }

  #reloadIfChanged(): void {
    const stamp = this.#stamp();
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    try {
      const context = this.#read();
      for (const server of this.#servers) server.setSecureContext(context);
      this.#trouble = '';
      this.#options.log.info(
        { event: 'certificate_reloaded', file: this.#options.certFile, valid_to: new Date(this.#validTo).toISOString() },
        'reloaded the certificate',
      );
    } catch (error) {
      // Only one file is renewed yet, or the pair does not match: checked again when the files change.
      this.#trouble = error instanceof HrError ? error.detail : messageOf(error);
      this.#options.log.warn(
        { event: 'certificate_unusable', err: error },
        'cannot use the new certificate: keeping the previous one',
      );
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#servers.clear();
  }
}
