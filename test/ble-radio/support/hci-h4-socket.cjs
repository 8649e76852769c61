'use strict';
// Preload (`node --require`) that connects noble's HCI layer to an emulated controller: H4 packets over TCP or a Unix socket
// named by NOBLE_HCI_H4 (host:port or a path) replace the kernel's Bluetooth socket. noble itself is unmodified.
const net = require('net');
const Module = require('module');
const { EventEmitter } = require('events');

class HciH4Socket extends EventEmitter {
  #socket;
  #up = false;
  #rx = Buffer.alloc(0);
  #tx = [];
  #stopped = false;

  #connect() {
    if (this.#socket || this.#stopped) return;
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
    this.#connect();
    return id ?? 0;
  }
  bindUser(id) {
    return this.bindRaw(id);
  }
  bindControl() {}
  start() {}
  stop() {
    this.#stopped = true;
    this.#socket?.end();
  } // a discarded noble releases its controller
  reset() {}
  setFilter() {}
  getDeviceList() {
    return [];
  }
  isDevUp() {
    return this.#up;
  }
  write(packet) {
    if (this.#up) this.#socket.write(packet);
    else this.#tx.push(packet);
  }
}
HciH4Socket.loadDriver = () => HciH4Socket; // entry point of @stoprocent/bluetooth-hci-socket

if (process.env.NOBLE_HCI_SYSFS) {
  // the kernel's entry of the adapter exists if this file does: tests plug the adapter in by creating it
  const fs = require('fs');
  const exists = fs.existsSync;
  fs.existsSync = (path) => exists(/^\/sys\/class\/bluetooth\/hci\d+$/.test(path) ? process.env.NOBLE_HCI_SYSFS : path);
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
