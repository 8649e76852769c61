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

[ -d node_modules/typescript ] || npm ci --no-audit --no-fund
npm run build
target=$dest/opt/hr-gateway
install -d "$target" "$dest/etc/systemd/system"
rm -rf "$target/dist" "$target/node_modules"
cp -r dist package.json package-lock.json LICENSE README.md "$target/"
install -d "$target/tools"
cp tools/install-sqlite.mjs "$target/tools/"
(cd "$target" && npm ci --omit=dev --no-audit --no-fund)
install -d "$dest/usr/local/bin"
printf '#!/bin/sh\nexec node /opt/hr-gateway/dist/cli/main.js "$@"\n' > "$dest/usr/local/bin/hr-gateway"
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
