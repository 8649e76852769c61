# shellcheck shell=bash
# Sourced by compose.sh, with its functions: the one volume of 1.0.0, whose services were killed while the stream was away and the forwarder
# down, starts under the new compose file, and every reading in it reaches the stream (test/data/SOURCES.md, volume-1.0.0).
docker compose down -v --timeout 12 > /dev/null 2>&1
unset GATEWAY_NAME
archive=test/data/volume-1.0.0.tar.gz volume=${COMPOSE_PROJECT_NAME}_data
in_archive() { tar -xzOf $archive "./$1"; }
fill() {
  docker volume create --label "com.docker.compose.project=$COMPOSE_PROJECT_NAME" --label com.docker.compose.volume=data "$volume" &&
    docker run --rm -i --user 0 --entrypoint tar -v "$volume:/data" hr-gateway -xzf - -C /data --numeric-owner < $archive
}
check "a volume of 1.0.0 with queued and spilled readings" fill
check "it starts under the new compose file, all healthy" docker compose up -d --wait --wait-timeout 180
all_read() { node --import tsx test/containers/volume-readings.ts test/data/volume-1.0.0.json; }
check "every reading that was queued, spilled or shipped is in the stream" within 90 all_read
check "the ledger balances after the update" within 20 bash -c "$(declare -f api json); api /queue | json '$balance' true"
check "the box keeps its name" test "$(docker compose exec -T admin-api cat /data/gateway-name)" = "$(in_archive gateway-name)"
check "the box keeps its token" test "$(docker compose exec -T admin-api hr-gateway token)" = "$(in_archive token)"
check "users of 1.0.0 log in" timeout 40 mosquitto_sub -h 127.0.0.1 -u anna -P 'correct horse battery' -t 'hr/+/bpm' -C 1
check "the forwarder's volume has nothing of other services" test -z \
  "$(files forwarder | tr ' ' '\n' | grep -E '^(token|users|outbox|devices|local-kinesis|keys/(gateway|ble|admin|local))')"
stamps() {
  for service in $services; do
    docker compose exec -T -u 1000 "$service" sh -c 'cat /data/keys/* /data/gateway-name | sha256sum'
  done
}
before=$(stamps)
check "a second up changes nothing" docker compose up -d --wait --wait-timeout 60
check "keys and name are the same after it" test "$(stamps)" = "$before"
