'use strict';
// Preload (`node --require`) that connects noble's HCI layer to an emulated controller: H4 packets over TCP or a Unix socket
// named by NOBLE_HCI_H4 (host:port or a path) replace the kernel's Bluetooth socket. noble itself is unmodified.
const net = require('net');
const Module = require('module');
const { EventEmitter } = require('events');

/**
 * The adapters that the kernel lists, from the JSON file named by NOBLE_HCI_ADAPTERS: [{ number, address, up, soft?, untold? }]. `soft`:
 * blocked by rfkill; `untold`: the management interface does not tell its address. Undefined without that variable.
 */
function adapters() {
  const file = process.env.NOBLE_HCI_ADAPTERS;
  if (!file) return undefined;
  // a noble that was discarded asks once more, maybe after the end of the test
  return realFs.existsSync(file) ? JSON.parse(realFs.readFileSync(file, 'utf8')) : [];
}
const fs = require('fs');
const realFs = { existsSync: fs.existsSync, readFileSync: fs.readFileSync, readdirSync: fs.readdirSync };

class HciH4Socket extends EventEmitter {
  #socket;
  #up = false;
  #rx = Buffer.alloc(0);
  #tx = [];
  #stopped = false;

  #id;
  #control = false;

  get #adapter() {
    return adapters()?.find(({ number }) => number === this.#id);
  }

  /** "Read Controller Information" of the kernel's management interface. */
  #manage(command) {
    const number = command.readUInt16LE(2);
    const adapter = adapters()?.find((candidate) => candidate.number === number);
    const answer = Buffer.alloc(adapter === undefined || adapter.untold ? 9 : 6 + 3 + 280);
    answer.writeUInt16LE(adapter === undefined ? 2 : 1, 0);
    answer.writeUInt16LE(number, 2);
    answer.writeUInt16LE(answer.length - 6, 4);
    answer.writeUInt16LE(command.readUInt16LE(0), 6);
    answer.writeUInt8(adapter === undefined || adapter.untold ? 0x11 : 0, 8);
    if (answer.length > 9) {
      Buffer.from(adapter.address.replaceAll(':', ''), 'hex').reverse().copy(answer, 9);
      answer.writeUInt32LE(adapter.up ? 1 : 0, 22);
    }
    setImmediate(() => this.emit('data', answer));
  }

  #connect() {
    if (this.#socket || this.#stopped || (adapters() !== undefined && this.#adapter?.up !== true)) return;
    const target = process.env.NOBLE_HCI_H4;
    const socket = target.startsWith('/') ? net.connect(target) : net.connect(+target.split(':')[1], target.split(':')[0]);
    this.#socket = socket.setNoDelay(true);
    socket.on('connect', () => {
      this.#up = true;
      for (const packet of this.#tx.splice(0)) socket.write(packet);
      this.emit('state', true);
    });
    socket.on('data', (chunk) => this.#feed(chunk));
    socket.on('error', (error) => this.emit('error', error));
    socket.on('close', () => {
      this.#up = false;
      this.#socket = undefined;
      this.#rx = Buffer.alloc(0);
      this.#tx = [];
      this.emit('state', false);
      setTimeout(() => this.#connect(), Number(process.env.NOBLE_HCI_H4_RECONNECT_MS ?? 1500)).unref();
    });
  }

  #feed(chunk) {
    // noble expects exactly one H4 packet per 'data' event
    this.#rx = Buffer.concat([this.#rx, chunk]);
    for (;;) {
      const buffer = this.#rx;
      if (buffer.length < 5 && !(buffer[0] === 4 && buffer.length >= 3)) return;
      if (buffer[0] !== 4 && buffer[0] !== 2) return void this.#socket.destroy(new Error(`H4 out of step: type ${buffer[0]}`));
      const length = buffer[0] === 4 ? 3 + buffer[2] : 5 + buffer.readUInt16LE(3);
      if (buffer.length < length) return;
      this.#rx = buffer.subarray(length);
      const packet = Buffer.from(buffer.subarray(0, length));
      // For tests that count or inject packets, or return packets that noble receives instead.
      const instead = globalThis.hciTap?.(packet, (other) => this.emit('data', other));
      for (const one of Array.isArray(instead) ? instead : [packet]) this.emit('data', one);
    }
  }

  bindRaw(id) {
    this.#id = id ?? 0;
    if (adapters() !== undefined && this.#adapter === undefined)
      throw Object.assign(new Error('ENODEV, No such device'), { code: 'ENODEV' });
    this.#connect();
    return this.#id;
  }
  bindUser(id) {
    return this.bindRaw(id);
  }
  bindControl() {
    this.#control = true;
  }
  start() {}
  stop() {
    this.#stopped = true;
    this.#socket?.end();
  } // a discarded noble releases its controller
  reset() {}
  setFilter() {}
  getDeviceList() {
    return (adapters() ?? []).map(({ number, up }) => ({ devId: number, devUp: up }));
  }
  isDevUp() {
    const up = adapters() === undefined || this.#adapter?.up === true;
    // The kernel ends the links of an adapter that goes down or away.
    if (!up) this.#socket?.destroy();
    else if (this.#id !== undefined) this.#connect();
    return this.#up && up;
  }
  write(packet) {
    if (this.#control) return this.#manage(packet);
    if (this.#up) this.#socket.write(packet);
    else this.#tx.push(packet);
  }
}
HciH4Socket.loadDriver = () => HciH4Socket; // entry point of @stoprocent/bluetooth-hci-socket

if (process.env.NOBLE_HCI_SYSFS) {
  // the kernel's entry of the adapter exists if this file does: tests plug the adapter in by creating it
  fs.existsSync = (path) =>
    realFs.existsSync(/^\/sys\/class\/bluetooth\/hci\d+$/.test(path) ? process.env.NOBLE_HCI_SYSFS : path);
  Module.syncBuiltinESMExports();
}
if (process.env.NOBLE_HCI_ADAPTERS) {
  // the kernel's folder of adapters, without their addresses, as kernels since 4.1 show it
  const SYSFS = /^\/sys\/class\/bluetooth(?:\/hci(?<number>\d+)(?:\/rfkill\d+(?:\/(?<block>soft|hard))?)?)?$/;
  const entryOf = (path) => SYSFS.exec(path)?.groups;
  const listed = (number) => adapters().find((adapter) => adapter.number === Number(number));
  fs.existsSync = (path) => {
    const entry = entryOf(path);
    if (!entry) return realFs.existsSync(path);
    return !entry.number || listed(entry.number) !== undefined;
  };
  fs.readdirSync = (path, ...rest) => {
    const entry = entryOf(path);
    if (!entry) return realFs.readdirSync(path, ...rest);
    return entry.number ? [`rfkill${entry.number}`] : adapters().map(({ number }) => `hci${number}`);
  };
  fs.readFileSync = (path, ...rest) => {
    const entry = entryOf(path);
    if (!entry?.block) return realFs.readFileSync(path, ...rest);
    return entry.block === 'soft' && listed(entry.number)?.soft ? '1\n' : '0\n';
  };
  Module.syncBuiltinESMExports();
}

if (process.env.NOBLE_HCI_H4) {
  const load = Module._load;
  let Tracked;
  Module._load = function (request, ...rest) {
    // the fork's constructor takes the options (fork-noble.cjs)
    if (request === './lib/resolve-bindings' && process.env.NOBLE_FORK) return (options) => options;
    if (request === './lib/noble') {
      // tests count listeners on noble's objects; held weakly, so that leaks stay detectable
      const Noble = process.env.NOBLE_FORK ? require('./fork-noble.cjs') : load.call(this, request, ...rest);
      Tracked ??= class extends Noble {
        constructor(bindings) {
          super(bindings);
          (globalThis.hciNobles ??= []).push(new WeakRef(this));
        }
      };
      return Tracked;
    }
    return /^@(abandonware|stoprocent)\/bluetooth-hci-socket$/.test(request) ? HciH4Socket : load.call(this, request, ...rest);
  };
}
