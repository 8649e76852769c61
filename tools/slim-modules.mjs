/**
 * Runs in the build of the image and of the Debian package: removes from node_modules what they never use (sources of native modules,
 * prebuilt binaries for other systems, the SQLite for Node 20, type declarations, source maps) to keep them small.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The processor that the modules are for; `node tools/slim-modules.mjs arm64` for another than this one. */
const arch = process.argv[2] ?? process.arch;
const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
const remove = (...parts) => rmSync(path.join(modules, ...parts), { recursive: true, force: true });

remove('better-sqlite3-node20');
for (const folder of ['deps', 'src', 'build/deps', 'build/Release/obj', 'build/Release/obj.target'])
  remove('better-sqlite3', folder);
const prebuilds = path.join(modules, 'better-sqlite3/prebuilds');
if (existsSync(prebuilds))
  for (const name of readdirSync(prebuilds))
    if (name !== `linux-${arch}.node`) rmSync(path.join(prebuilds, name), { recursive: true, force: true });
for (const scope of ['@abandonware/bluetooth-hci-socket', 'usb'])
  for (const folder of ['src', 'libusb', 'build/Release/obj.target']) remove(scope, folder);

const usb = path.join(modules, 'usb/prebuilds');
if (existsSync(usb)) for (const name of readdirSync(usb)) if (name !== `linux-${arch}`) remove('usb/prebuilds', name);

function strip(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) strip(file);
    else if (/\.(d\.[cm]?ts|map|md|markdown)$/i.test(entry.name) && !/^licen[cs]e/i.test(entry.name)) rmSync(file);
  }
}
strip(modules);
