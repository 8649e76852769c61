'use strict';
// @stoprocent/noble in the shape of @abandonware/noble, for running the radio's tests on it (NOBLE_FORK=stoprocent). What differs
// otherwise: docs/noble.md.
const Noble = require('@stoprocent/noble/lib/noble');
const Bindings = require('@stoprocent/noble/lib/hci-socket/bindings');
const Hci = require('@stoprocent/noble/lib/hci-socket/hci');

/** A Map that can be used like a plain object as well: the fork's own methods use the Map, the product the object. */
const alsoRecord = (map) =>
  new Proxy(map, {
    get: (target, key) => {
      const own = Reflect.get(target, key, target);
      return typeof own === 'function' ? own.bind(target) : (own ?? target.get(key));
    },
    ownKeys: (target) => [...target.keys()],
    getOwnPropertyDescriptor: (target, key) =>
      target.has(key) ? { value: target.get(key), enumerable: true, configurable: true } : undefined,
    deleteProperty: (target, key) => {
      target.delete(key);
      return true;
    },
  });

class ForkNoble extends Noble {
  constructor(options) {
    // Reports of extended advertising are other events; the original does not ask for them either.
    const bindings = new Bindings({ ...options, extended: false });
    // The fork creates its HCI layer only when it starts; the product corrects it before.
    const hci = new Hci(bindings._options);
    Object.defineProperty(bindings, '_hci', { get: () => hci, set: () => {} });
    super(bindings);
    this._peripherals = alsoRecord(this._peripherals);
  }

  startScanning(services, allowDuplicates, callback) {
    // The fork ignores a scan that is started while one runs; the product restarts scans so that straps are reported again.
    this._bindings._isScanning = false;
    this._bindings._isScanningStarted = false;
    super.startScanning(services, allowDuplicates, callback);
  }

  reset() {
    this._bindings._hci.reset();
  }
}

module.exports = ForkNoble;
