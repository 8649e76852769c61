#!/usr/bin/env bash
# The Debian package: built, installed by dpkg, run as its unit says, upgraded, removed and purged. All of it in a copy of this machine's
# file system (an overlay in a mount namespace): the machine itself is not changed. Needs root for that; the build does not.
# deb.sh --inside ROOT is the part that runs in the namespace.
set -uo pipefail
cd "$(dirname "$0")/../.."
# machine FILE: the processor of an ELF file, e_machine.
machine() { od -An -tu2 -j18 -N2 "$1" | tr -d ' '; }
# The package for arm64, from amd64: Node, SQLite and the Bluetooth socket are for that processor (183: EM_AARCH64).
other_architecture() {
  [ "$(dpkg --print-architecture)" = amd64 ] || return 0
  if ! command -v aarch64-linux-gnu-g++ > /dev/null; then
    echo "SKIP  the package for arm64: there is no g++-aarch64-linux-gnu"; [ "${CI:-}" != true ]; return; fi
  packaging/deb/build.sh arm64 "$1/arm64" && dpkg-deb -x "$1"/arm64/*_arm64.deb "$1/files" ||
    { echo "FAIL  the package for arm64"; return 1; }
  local file modules=$1/files/usr/lib/hr-gateway/node_modules
  for file in "$1/files/usr/lib/hr-gateway/bin/node" "$modules/better-sqlite3/prebuilds/linux-arm64.node" \
    "$modules/@abandonware/bluetooth-hci-socket/build/Release/bluetooth_hci_socket.node"; do
    [ "$(machine "$file")" = 183 ] || { echo "FAIL  $file is not for arm64"; return 1; }
  done
  echo "ok    the package for arm64 is built here, with Node, SQLite and Bluetooth socket of that processor"
}
if [ "${1:-}" != --inside ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  echo "building"
  packaging/deb/build.sh "$(dpkg --print-architecture)" "$scratch/packages" || { echo "FAIL  the package is built"; exit 1; }
  echo "ok    the package is built, without root"
  other_architecture "$scratch" || exit 1
  if [ "$(id -u)" = 0 ]; then unshare --mount --pid --fork --mount-proc "$0" --inside "$scratch"; else
    sudo unshare --mount --pid --fork --mount-proc "$0" --inside "$scratch"; fi
  exit
fi
scratch=$2
packages=$(mktemp -d) && mount -t tmpfs -o size=1500m tmpfs "$packages" || exit 1
mkdir "$packages"/{upper,work,root} && root=$packages/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$packages/upper,workdir=$packages/work" "$root" || { echo "FAIL  no overlay"; exit 1; }
mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/run" && mount -t tmpfs tmpfs "$root/tmp"
cp "$scratch"/packages/*.deb "$root/tmp/first.deb"
# The next version: the same files under another number.
mkdir "$packages/next" && dpkg-deb -R "$root/tmp/first.deb" "$packages/next"
sed -i 's/^Version: .*/Version: 999.0.0/' "$packages/next/DEBIAN/control"
echo '# a line of the next version' >> "$packages/next/etc/hr-gateway/hr-gateway.env"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$packages/next" "$root/tmp/next.deb" > /dev/null
passed=0 failed=0
check() {
  local description=$1; shift
  if "$@" > "$packages/out" 2>&1; then passed=$((passed + 1)); echo "ok    $description"; else
    failed=$((failed + 1)); echo "FAIL  $description"; tail -n 30 "$packages/out"; fi
}
# Nothing of this machine's Node: the package has its own.
inside() { env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
without_node() { ! inside sh -c 'command -v node' || rm -f "$root$(inside sh -c 'command -v node')"; }
exec_inside() { exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/nonexistent chroot "$root" "$@"; }
check "this copy of the machine has no Node of its own" without_node
check "dpkg installs it" inside dpkg -i /tmp/first.deb
# No systemd runs in this copy, as in the chroot of an image builder.
wanted=/etc/systemd/system/multi-user.target.wants/hr-gateway.service
check "it starts at the next boot, though no systemd runs" inside sh -c \
  "test \"\$(readlink $wanted)\" = /lib/systemd/system/hr-gateway.service"
check "the user exists, owns its folder, and nobody else may look into it" \
  inside sh -c 'test "$(stat -c "%U %a" /var/lib/hr-gateway)" = "hr-gateway 700"'
check "root owns everything that is installed, and nobody else may write to it" \
  inside sh -c '[ -z "$(find /usr/lib/hr-gateway /usr/bin/hr-gateway \( ! -user root -o -perm /022 \) ! -type l)" ]'
check "only root can read the settings, and dpkg keeps them as a configuration file" inside sh -c \
  'test "$(stat -c %a /etc/hr-gateway/hr-gateway.env)" = 600 && dpkg-query -W -f "\${Conffiles}" hr-gateway | grep -q hr-gateway.env'
check "it contains Node 24, which loads SQLite" inside /usr/lib/hr-gateway/bin/node -e \
  'if (!process.version.startsWith("v24.")) process.exit(1);
   new (require("/usr/lib/hr-gateway/node_modules/better-sqlite3"))(":memory:").exec("SELECT 1")'
check "it contains a Bluetooth socket that this Node loads" inside /usr/lib/hr-gateway/bin/node -e \
  'const modules = "/usr/lib/hr-gateway/node_modules/@abandonware";
   process.dlopen({exports: {}}, `${modules}/bluetooth-hci-socket/build/Release/bluetooth_hci_socket.node`)'
check "systemd finds no fault in the unit" sh -c \
  '! systemd-analyze verify --man=no --root='"$root"' hr-gateway.service 2>&1 | grep -F hr-gateway.service'
check "hr-gateway is on the PATH" inside hr-gateway --version

# unit VARIABLE: its value in the installed unit.
unit() { sed -nE "s/^$1=(.*)/\1/p" "$root/lib/systemd/system/hr-gateway.service"; }
# As systemd would: the user, the folder, the settings file and the command of the unit. It runs without systemd, so without its sandbox.
start_unit() {
  local settings=$root$(unit EnvironmentFile | sed s,^-,,)
  # The log of the start before would count as this one's.
  : > "$packages/log"
  # Not in a subshell: the process is node itself, which gets the signal, and whose exit code counts.
  exec_inside setpriv --reuid hr-gateway --regid hr-gateway --clear-groups env $(unit Environment) \
    $(grep -v '^#' "$settings" | grep . | xargs) LOG_LEVEL=info \
    sh -c "cd $(unit WorkingDirectory) && umask 077 && exec $(unit ExecStart)" > "$packages/log" 2>&1 &
  service=$!
  for _ in $(seq 240); do grep -q '"event":"started"' "$packages/log" && return 0; kill -0 $service || break; sleep 0.5; done
  tail -n 20 "$packages/log"; return 1
}
stop_unit() { kill -TERM $service && wait $service; }
ports=$((20000 + RANDOM % 20000))
set_ports() {
  local index=0 name
  for name in MQTT_LISTEN_PORT MQTT_LISTEN_WS_PORT MQTT_SERVICES_PORT ADMIN_PORT LOCAL_KINESIS_PORT; do
    echo "$name=$((ports + index))"; index=$((index + 1))
  done >> "$root/etc/hr-gateway/hr-gateway.env"
  echo GATEWAY_NAME=deb-box >> "$root/etc/hr-gateway/hr-gateway.env"
}
set_ports
check "it runs as its unit says, on the ports of its settings" start_unit
answers() { for _ in $(seq 60); do curl -fsS --max-time 5 "http://127.0.0.1:$1/health" && return 0; sleep 1; done; return 1; }
check "health answers" answers $((ports + 3))
check "hr-gateway doctor finds the box without being told its ports" inside sh -c \
  'hr-gateway doctor --json | grep -A1 "\"name\": \"box\"" | grep "\"ok\""'
check "hr-gateway users add, list and remove work" inside sh -c \
  'echo "correct horse battery" | hr-gateway users add anna --subscribe "hr/+/bpm" && hr-gateway users list | grep -q "^anna " &&
   hr-gateway users remove anna'
check "hr-gateway config shows the settings of the unit" inside sh -c 'hr-gateway config | grep -qE "^GATEWAY_NAME +deb-box "'
check "hr-gateway tail prints readings" inside timeout 100 hr-gateway tail --from oldest --count 3
check "hr-gateway backup makes a copy" inside sh -c 'hr-gateway backup | grep -q /var/lib/hr-gateway/backups/'
check "a user without rights is told to use sudo" inside sh -c \
  'setpriv --reuid nobody --regid nogroup --clear-groups hr-gateway users list 2>&1 | grep -q sudo'
token=$(inside hr-gateway token)
check "an administrator disables it" inside systemctl disable hr-gateway.service
check "dpkg upgrades it while it runs, and keeps changed settings" inside dpkg --force-confold -i /tmp/next.deb
check "what was disabled stays disabled" inside test ! -e $wanted
check "an administrator enables it again" inside systemctl enable hr-gateway.service
check "the settings are those of before" inside grep -q GATEWAY_NAME=deb-box /etc/hr-gateway/hr-gateway.env
check "SIGTERM stops it with exit code 0" stop_unit
check "the new version starts on the same data" start_unit
check "the token is the same" test "$(inside hr-gateway token)" = "$token"
backup=$(inside sh -c 'ls /var/lib/hr-gateway/backups/*.db | tail -n 1')
check "restore is refused while it runs" inside sh -c \
  "hr-gateway restore $backup > /tmp/said 2>&1; cat /tmp/said; grep -q box_running /tmp/said"
check "it stops" stop_unit
check "restore, by root, leaves files of the user of the service" inside sh -c \
  "hr-gateway restore $backup && [ -z \"\$(find /var/lib/hr-gateway ! -user hr-gateway)\" ]"
check "it starts with the restored queue" start_unit
check "it stops again" stop_unit
check "dpkg removes it, and keeps data and settings" inside sh -c \
  'dpkg -r hr-gateway && test -d /var/lib/hr-gateway && test -e /etc/hr-gateway/hr-gateway.env && ! test -e /usr/bin/hr-gateway'
check "dpkg purges it: no data, no settings, no user, nothing that starts it" inside sh -c \
  "dpkg -P hr-gateway && ! test -e /var/lib/hr-gateway && ! test -e /etc/hr-gateway && ! id hr-gateway && ! test -L $wanted"
echo
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
