#!/usr/bin/env bash
# Installs hr-gateway as a systemd service on this machine: program in /opt/hr-gateway, a separate user, data in /var/lib/hr-gateway.
# Run as root from a checkout: `sudo packaging/systemd/install.sh`. Run it again to update: data and /etc/hr-gateway.env are kept.
# DESTDIR=… installs into a folder, without creating a user or calling systemctl (for packages and tests).
set -euo pipefail
cd "$(dirname "$0")/../.."
dest=${DESTDIR:-}
major=$(node -p 'process.versions.node.split(".")[0]' 2> /dev/null || echo 0)
[ "$major" -ge 20 ] || { echo "Node 20.19 or later is needed (found: $(node --version 2> /dev/null || echo none))" >&2; exit 1; }
if [ -z "$dest" ] && [ "$(id -u)" != 0 ]; then echo "run as root" >&2; exit 1; fi

# The code of packages, compilers and this build run as a user without rights, in a scratch folder; root only copies the result. Install
# scripts of packages do not run at all, except those of the two native packages that have to be compiled.
builder=hr-gateway-build
if [ -n "$dest" ]; then builder=nobody
elif ! id "$builder" > /dev/null 2>&1; then
  useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$builder"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -c --exclude=./node_modules --exclude=./dist --exclude=./data --exclude=./.git --exclude=./test-output . | tar -x -C "$work"
registry=$(npm config get registry) nodedir=$(npm config get nodedir) cafile=$(npm config get cafile)
settings=(HOME="$work" npm_config_cache="$work/.npm-cache" npm_config_registry="$registry" npm_config_ignore_scripts=true)
[ "$nodedir" = undefined ] || settings+=(npm_config_nodedir="$nodedir")
[ "$cafile" = null ] || settings+=(npm_config_cafile="$cafile")
as_builder() {
  local command=(env "${settings[@]}" "$@")
  if [ "$(id -u)" != 0 ]; then (cd "$work" && "${command[@]}"); return; fi
  (cd "$work" && setpriv --reuid="$builder" --regid="$(id -g "$builder")" --clear-groups --no-new-privs "${command[@]}")
}
[ "$(id -u)" != 0 ] || chown -R "$builder:" "$work"
as_builder npm ci --no-audit --no-fund
as_builder npm run build
as_builder npm prune --omit=dev --no-audit --no-fund
as_builder node tools/install-sqlite.mjs
if ! as_builder npm rebuild --ignore-scripts=false @abandonware/bluetooth-hci-socket > "$work/.bluetooth.log" 2>&1; then
  tail -n 5 "$work/.bluetooth.log" >&2
  echo "no Bluetooth: its package could not be compiled (apt install python3 make g++); everything else is installed" >&2
  rm -rf "$work/node_modules/@abandonware"
fi

target=$dest/opt/hr-gateway
install -d "$target" "$dest/etc/systemd/system"
rm -rf "$target/dist" "$target/node_modules" "$target/tools"
cp -r "$work/dist" "$work/node_modules" "$target/"
cp package.json package-lock.json LICENSE README.md "$target/"
[ "$(id -u)" != 0 ] || chown -R root:root "$target"
chmod -R go-w "$target"
install -d "$dest/usr/local/bin"
sed -e 's|@PROGRAM@|/opt/hr-gateway|' -e 's|@NODE@|node|' -e 's|@SETTINGS@|/etc/hr-gateway.env|' packaging/hr-gateway.sh \
  > "$dest/usr/local/bin/hr-gateway"
chmod 755 "$dest/usr/local/bin/hr-gateway"
install -m 644 packaging/systemd/hr-gateway.service "$dest/etc/systemd/system/hr-gateway.service"
if [ ! -e "$dest/etc/hr-gateway.env" ]; then
  (umask 077 && sed 's/^# Copy to .env and/# Settings of hr-gateway.service:/' .env.example > "$dest/etc/hr-gateway.env")
fi
if [ -z "$dest" ]; then
  id hr-gateway > /dev/null 2>&1 || useradd --system --home-dir /var/lib/hr-gateway --shell /usr/sbin/nologin hr-gateway
  systemctl daemon-reload
  systemctl enable --now hr-gateway.service
  systemctl restart hr-gateway.service
  echo "hr-gateway is running: systemctl status hr-gateway; journalctl -u hr-gateway -f"
else
  echo "installed into $dest"
fi
