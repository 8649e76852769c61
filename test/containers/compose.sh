#!/usr/bin/env bash
# The containers as a user runs them: builds and starts them, waits for health, subscribes and calls the API from the host, reads records
# back from the stream, checks the privileges of each container, kills processes, and restarts everything with the queue intact.
# Needs a Docker engine and mosquitto_sub; uses the ports of docker-compose.yml on 127.0.0.1.
set -uo pipefail
cd "$(dirname "$0")/../.."
export COMPOSE_PROJECT_NAME=hr-gateway-test GATEWAY_NAME=compose-box
services="gateway local-kinesis forwarder ble-bridge admin-api"
passed=0 failed=0
# check DESCRIPTION COMMAND…: the command must succeed.
check() {
  local description=$1; shift
  if "$@" > /tmp/hr-compose-check 2>&1; then passed=$((passed + 1)); echo "ok    $description"; else
    failed=$((failed + 1)); echo "FAIL  $description"; tail -c 2000 /tmp/hr-compose-check | sed 's/^/      /'; fi
}
# within SECONDS COMMAND…: repeats the command until it succeeds.
within() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -ge $end ] && return 1; sleep 0.5; done
}
api() { curl -fsS --max-time 5 "http://127.0.0.1:8080$1"; }
# json EXPRESSION [EXPECTED]: evaluates an expression on v, the JSON on stdin; prints the value, or compares it.
json() {
  node -e '
    const value = new Function("v", `return ${process.argv[1]}`)(JSON.parse(require("fs").readFileSync(0, "utf8")));
    const expected = process.argv[2];
    if (expected === undefined || String(value) !== expected) console.log(value);
    process.exit(expected === undefined || String(value) === expected ? 0 : 1);' "$@"
}
container() { docker compose ps -q "$1"; }
host_pid() { docker inspect -f '{{.State.Pid}}' "$(container "$1")"; }
status_field() { awk -v f="$2:" '$1==f {$1="";print substr($0,2)}' "/proc/$1/status" | xargs; }
finish() {
  [ $failed -eq 0 ] || docker compose logs --no-color --tail 40
  docker compose down -v --timeout 12 > /dev/null 2>&1
}
trap finish EXIT
docker compose down -v --timeout 5 > /dev/null 2>&1

# Images of earlier runs are not this build's: only its own copies are to be found below.
docker image rm -f hr-gateway > /dev/null 2>&1
docker image prune -f --filter label=org.opencontainers.image.title=hr-gateway > /dev/null 2>&1
docker compose build || exit 1
base=$(docker image inspect -f '{{.Size}}' node:24-bookworm-slim) image=$(docker image inspect -f '{{.Size}}' hr-gateway)
echo "layers above the base: $(((image - base) / 1048576)) MiB"
check "layers above the base are at most 120 MB" test $((image - base)) -le 120000000
check "no build tools in the image" docker run --rm --entrypoint sh hr-gateway -c \
  '! command -v gcc && ! command -v make && ! command -v tsc && ! test -e node_modules/typescript'

started=$SECONDS
check "up, all healthy" docker compose up -d --wait --wait-timeout 180
echo "healthy after $((SECONDS - started)) s"

check "GET /health is ok or degraded on the host" within 30 api /health
check "a reading on hr/+/bpm reaches an anonymous mosquitto_sub on the host" timeout 40 mosquitto_sub -h 127.0.0.1 -t 'hr/+/bpm' -C 1
check "an anonymous client may not publish" bash -c '! timeout 5 mosquitto_pub -h 127.0.0.1 -q 1 -t hr/x/bpm -m "{}"'
check "/devices lists three simulated straps" within 60 bash -c "$(declare -f api json); api /devices | json v.length 3"
shipped() { api /queue | json "v.ledger.shipped" ; }
check "readings are shipped" within 60 bash -c "$(declare -f api json shipped); [ \$(shipped) -ge 10 ]"
balance='v.ledger.accepted === v.ledger.shipped + v.ledger.queued + v.ledger.dead + v.ledger.evicted'
check "the ledger balances" within 20 bash -c "$(declare -f api json); api /queue | json '$balance' true"
tail_some() { timeout 60 node cli/bin.mjs tail --from oldest --json --count 10 | grep -c '"heart_rate"'; }
check "records are read back from the stream on the host" bash -c "$(declare -f tail_some); [ \$(tail_some) -ge 10 ]"

for service in $services; do
  id=$(container "$service") pid=$(host_pid "$service")
  check "$service runs node as uid 1000" test "$(status_field "$pid" Uid)" = "1000 1000 1000 1000"
  want=0000000000000000; [ "$service" = ble-bridge ] && want=0000000000003000
  check "$service has CapEff $want" test "$(status_field "$pid" CapEff)" = $want
  check "$service cannot gain privileges" test "$(status_field "$pid" NoNewPrivs)" = 1
  check "$service has a read-only root" test "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}}' "$id")" = true
  check "$service writes no core dumps" grep -qE '^Max core file size +0 +0 ' "/proc/$pid/limits"
  mounts=$(docker inspect -f '{{range .Mounts}}{{.Name}}:{{.Destination}} {{end}}' "$id" | xargs)
  own=$service; [ "$service" = forwarder ] && own=data
  check "$service mounts its own volume only" test "$mounts" = "${COMPOSE_PROJECT_NAME}_$own:/data"
  check "$service cannot write outside /data and /tmp" docker compose exec -T "$service" sh -c '! touch /app/x 2>/dev/null'
  limits=$(docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{index .HostConfig.LogConfig.Config "max-size"}}' "$id")
  check "$service has a memory limit, a process limit and log rotation" test "$limits" = "536870912 128 10m"
  network=$(docker inspect -f '{{.HostConfig.NetworkMode}}' "$id")
  if [ "$service" = ble-bridge ]; then check "ble-bridge has the host's network" test "$network" = host
  else check "$service has its own network" test "$network" != host; fi
  echo "      $service: RSS $(awk '/^VmRSS/ {print int($2/1024)}' "/proc/$pid/status") MiB"
done
doctor() { timeout 60 docker compose run --rm --no-deps -T ble-bridge hr-gateway doctor --json; }
doctor_is_ok() {
  doctor | node -e '
    const lines = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const wanted = ["host network", "capabilities", "broker", "forwarder", "ble-bridge", "queue", "stream", "stream limits"];
    const bad = wanted.filter((name) => lines.find((line) => line.name === name)?.status !== "ok");
    if (bad.length > 0) console.log("not ok:", bad.join(", "));
    process.exit(bad.length === 0 ? 0 : 1);'
}
check "the doctor in the container reports ok for broker, services, queue and stream" doctor_is_ok
check "ports are published on 127.0.0.1 only" bash -c '! docker compose ps --format "{{.Ports}}" | grep -E "0\.0\.0\.0:|\[::\]:"'
# files SERVICE: what is in its volume, by name.
files() {
  docker compose exec -T -u 1000 "$1" sh -c 'cd /data && find . -type f | sort | sed "s|^\./||"' |
    grep -vE '^(locks/|gateway-name|volume-of)' | xargs
}
bridge_files='^(keys/ble-bridge|outbox/.*|devices\.json|last-readings\.json)$'
check "the bridge can read no key but its own, no token, no users and no queue" bash -c \
  '[[ $1 == *keys/ble-bridge* ]] && [ -z "$(echo "$1" | tr " " "\n" | grep -vE "$2")" ]' - "$(files ble-bridge)" "$bridge_files"
for service in forwarder admin-api local-kinesis; do
  check "$service has no key but its own" test "$(files "$service" | tr ' ' '\n' | grep ^keys/)" = "keys/$service"
done
check "only the admin API has the token" bash -c '[[ " $1 " == *" token "* && " $2 $3 $4 " != *" token "* ]]' - \
  "$(files admin-api)" "$(files gateway)" "$(files forwarder)" "$(files local-kinesis)"
check "hr-gateway token works in the admin API's container, and names it in others" bash -c \
  'docker compose exec -T admin-api hr-gateway token &&
   docker compose exec -T forwarder hr-gateway token 2>&1 | grep -q "exec admin-api"'
check "users are added, listed and removed in the gateway's container" bash -c \
  'echo "correct horse battery" | docker compose exec -T gateway hr-gateway users add anna --subscribe "hr/+/bpm" &&
   docker compose exec -T gateway hr-gateway users list | grep -q "^anna " &&
   timeout 40 mosquitto_sub -h 127.0.0.1 -u anna -P "correct horse battery" -t "hr/+/bpm" -C 1 &&
   docker compose exec -T gateway hr-gateway users remove anna'
check "another container names the gateway's for users, and writes nothing" bash -c \
  'docker compose exec -T admin-api hr-gateway users list 2>&1 | grep -q "exec gateway"'
for service in $services; do
  check "hr-gateway config in $service shows what it uses" docker compose exec -T "$service" hr-gateway config
done
check "tail, verify and export find the stream from the forwarder's container" bash -c \
  'docker compose exec -T forwarder hr-gateway tail --from oldest --count 3 && docker compose exec -T forwarder hr-gateway verify'
backup=$(docker compose exec -T forwarder hr-gateway backup | json v.file)
check "a backup is made in the forwarder's container" docker compose exec -T forwarder test -s "$backup"
restore() { docker compose run --rm --no-deps -T forwarder hr-gateway restore "$@"; }
check "a restore is refused while the forwarder runs" bash -c "$(declare -f restore); restore $backup 2>&1 | grep -q box_running"
check "the backups are listed" bash -c "$(declare -f restore); restore --list | grep -q $backup"
restored() { docker compose stop forwarder && restore "$backup" && docker compose up -d --wait --wait-timeout 120; }
check "a restore of the stopped forwarder works, and it starts" restored
check "one image, and no dangling copies of it" bash -c \
  '[ -z "$(docker images -q --filter dangling=true --filter label=org.opencontainers.image.title=hr-gateway)" ]'
check "MQTT_URL reaches every service that connects to the broker" bash -c \
  'MQTT_URL=mqtt://broker.example:1883 docker compose config --format json |
   node -e "const {services: s} = JSON.parse(require(\"fs\").readFileSync(0));
     for (const n of [\"forwarder\", \"ble-bridge\", \"admin-api\"])
       if (s[n].environment.MQTT_URL !== \"mqtt://broker.example:1883\") process.exit(1)"'
rebound() {
  curl -s -o /dev/null -w '%{http_code}' -H "Host: $1" -H 'Content-Type: application/x-amz-json-1.1' \
    -H 'x-amz-target: Kinesis_20131202.ListStreams' -d '{}' http://127.0.0.1:4567/
}
check "the local stream refuses another site's name, and accepts its own" \
  test "$(rebound evil.example) $(rebound local-kinesis:4567)" = "403 200"
check "only the owner can read the keys" docker compose exec -T gateway sh -c 'test -z "$(find /data/keys -type f ! -perm 600)"'

# restarted CONTAINER COUNT: the container restarted since it had restarted COUNT times, and is healthy.
restarted() {
  [ "$(docker inspect -f '{{.RestartCount}}' "$1")" -gt "$2" ] && [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]
}
for service in $services; do
  pid=$(host_pid "$service"); restarts=$(docker inspect -f '{{.RestartCount}}' "$(container "$service")")
  kill -9 "$pid"
  check "$service restarts after SIGKILL" within 60 bash -c "$(declare -f restarted); restarted $(container "$service") $restarts"
done
before=$(within 60 shipped | tail -n 1)
more_shipped() { [ "$(shipped)" -gt "$1" ]; }
check "readings are shipped after the kills" within 60 more_shipped "$before"

accepted() { api /queue | json v.ledger.accepted; }
accepted_at_least() { [ "$(accepted)" -ge "$1" ]; }
before=$(accepted)
check "down within the time limit" docker compose down --timeout 12
check "up again" docker compose up -d --wait --wait-timeout 180
check "ledger and stream continue where they were" within 60 accepted_at_least "$before"
check "the account is whole: every reading of each run is in the stream" within 60 node --import tsx test/containers/read-back.ts
# An update: a different image, the same volume.
next=$(node -p 'const [a, b, c] = require("./package.json").version.split("."); [a, b, Number(c) + 1].join(".")')
upgrade() {
  docker build -q -t hr-gateway - << DOCKERFILE && docker compose up -d --no-build --wait --wait-timeout 180
FROM hr-gateway
USER root
RUN sed -i 's/"version": "[^"]*"/"version": "$next"/' package.json
USER 1000:1000
DOCKERFILE
}
before=$(accepted)
secrets() { { docker compose exec -T admin-api cat /data/token; docker compose exec -T gateway sh -c 'cat /data/keys/*'; } | sha256sum; }
names=$(secrets)
check "an update recreates the containers" upgrade
check "the new version runs" within 30 bash -c "$(declare -f api json); api /openapi.json | json v.info.version $next"
check "queue and stream continue where they were" within 60 accepted_at_least "$before"
check "token and keys are unchanged" test "$(secrets)" = "$names"
check "the account is whole after the update" within 60 node --import tsx test/containers/read-back.ts
# hangs THREAD SERVICE: injects an endless loop into the main thread or the worker thread. The watchdog must kill the process (exit code
# 137), after which `restart` in the compose file would start it again.
hangs() {
  local when='isMainThread' imported loop
  [ "$1" = worker ] && when='!isMainThread%26%26/db$/.test(workerData%3F.file)'
  imported='import%7BisMainThread,workerData%7Dfrom%22node:worker_threads%22'
  loop="if($when)setTimeout(()=>%7Bfor(;;);%7D,4000)"
  timeout 60 docker run --rm --tmpfs /data:uid=1000,gid=1000 --tmpfs /tmp -e WATCHDOG_TIMEOUT_MS=3000 -e MQTT_URL=mqtt://127.0.0.1:1 \
    -e NODE_OPTIONS="--import=data:text/javascript,$imported;$loop" hr-gateway node "dist/$2/main.js" > /tmp/hr-compose-hang
  [ $? -eq 137 ] && grep -q '"event":"watchdog"' /tmp/hr-compose-hang
}
check "the watchdog kills a gateway whose event loop hangs" hangs main gateway
check "the watchdog kills a forwarder whose SQLite thread hangs" hangs worker forwarder
no_errors() { ! docker compose logs --no-color --no-log-prefix | grep -E '"level":"(error|fatal)"'; }
check "no error in any log" no_errors
. test/containers/upgrade.sh
check "no error in any log after the update of 1.0.0" no_errors

echo
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
