'use strict';
// Preload that gives noble's HCI layer a socket that fails as on a machine without usable Bluetooth (HR_BROKEN_HCI): no AF_BLUETOOTH
// in the kernel, no right to the adapter, no adapter, or an adapter that does not answer. noble itself is unmodified.
const Module = require('module');
const { EventEmitter } = require('events');

const kind = process.env.HR_BROKEN_HCI;

class BrokenHciSocket extends EventEmitter {
  constructor() {
    super();
    if (kind === 'no_af_bluetooth')
      throw Object.assign(new Error('Address family not supported by protocol'), {
        code: 'EAFNOSUPPORT',
        errno: 97,
        syscall: 'socket',
      });
  }
  bindRaw(id) {
    return id ?? 0;
  }
  start() {}
  stop() {}
  reset() {}
  setFilter() {}
  // The kernel reports an adapter as up to every process, but refuses commands without the capability.
  isDevUp() {
    return kind === 'no_privileges' || kind === 'deaf_adapter';
  }
  write() {
    if (kind === 'no_privileges')
      setImmediate(() => this.emit('error', Object.assign(new Error('Operation not permitted'), { code: 'EPERM' })));
  }
}

const load = Module._load;
Module._load = function (request, ...rest) {
  if (!/^@abandonware\/bluetooth-hci-socket$/.test(request)) return load.call(this, request, ...rest);
  if (kind === 'not_installed') throw Object.assign(new Error(`Cannot find module '${request}'`), { code: 'MODULE_NOT_FOUND' });
  return BrokenHciSocket;
};
