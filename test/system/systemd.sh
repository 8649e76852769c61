#!/usr/bin/env bash
# The systemd unit: passes systemd-analyze, its exposure level is below a limit, the install script works, and the product sends the
# notifications that the unit waits for.
set -uo pipefail
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0
check() {
  local description=$1; shift
  if "$@" > "$scratch/out" 2>&1; then passed=$((passed + 1)); echo "ok    $description"; else
    failed=$((failed + 1)); echo "FAIL  $description"; tail -n 30 "$scratch/out"; fi
}
unit=packaging/systemd/hr-gateway.service
exposure() {
  systemd-analyze security --offline=true --no-pager "$unit" | sed -nE 's/.*Overall exposure level for [^:]*: ([0-9.]+).*/\1/p'
}
verified() {
  command -v systemd-analyze &&
    ! systemd-analyze verify --man=no "$unit" 2>&1 | grep -F hr-gateway.service | grep -vE 'Command .* is not executable|Documentation'
}
check "systemd-analyze verify reports nothing" verified
level=$(exposure)
echo "      exposure by systemd-analyze security: ${level:-none}"
check "exposure is below 3.0" awk -v l="${level:-10}" 'BEGIN {exit !(l < 3.0)}'
check "the install script installs into a folder" env DESTDIR="$scratch/root" packaging/systemd/install.sh
check "root owns everything that is installed, and nobody else may write to it" bash -c \
  '[ "$(id -u)" != 0 ] || [ -z "$(find "$1" \( ! -user root -o -perm /022 \) ! -type l)" ]' - "$scratch/root/opt/hr-gateway"
check "memory is limited, and there are no core dumps" bash -c 'grep -qx MemoryMax=1G "$1" && grep -qx LimitCORE=0 "$1"' - "$unit"
check "only the owner can read the installed settings" test "$(stat -c %a "$scratch/root/etc/hr-gateway.env")" = 600
check "the installed hr-gateway command is executable" test -x "$scratch/root/usr/local/bin/hr-gateway"
check "the installed program prints its version" node "$scratch/root/opt/hr-gateway/dist/cli/main.js" --version
check "a stop signals the main process only, which stops the bridge's process" grep -qx KillMode=mixed "$unit"
notified() {
  python3 - "$scratch" <<'P'
import os, socket, subprocess, sys, time
scratch = sys.argv[1]
path = scratch + '/notify'
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(path); s.settimeout(60)
env = dict(PATH=os.environ['PATH'], NOTIFY_SOCKET=path, WATCHDOG_USEC='3000000', DATA_DIR=scratch + '/data')
env |= {name: '0' for name in ('MQTT_LISTEN_PORT', 'MQTT_LISTEN_WS_PORT', 'ADMIN_PORT', 'LOCAL_KINESIS_PORT')}
p = subprocess.Popen(['node', 'dist/start.js'], cwd=scratch + '/root/opt/hr-gateway', env=env, stdout=subprocess.DEVNULL)
seen = []
try:
    while 'WATCHDOG=1' not in seen or 'READY=1' not in seen:
        seen += s.recv(4096).decode().split('\n')
    p.terminate()
    while 'STOPPING=1' not in seen:
        seen += s.recv(4096).decode().split('\n')
    assert p.wait(20) == 0, p.returncode
finally:
    p.kill()
print(seen)
P
}
check "READY, WATCHDOG and STOPPING reach systemd's socket, and SIGTERM exits with code 0" notified
echo
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
