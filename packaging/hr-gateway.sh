#!/bin/sh
# The hr-gateway command of an installed box: with the settings and the folder of the unit. What this shell sets wins.
export DATA_DIR="${DATA_DIR:-/var/lib/hr-gateway}"
settings=@SETTINGS@
if [ -r "$settings" ]; then set -- --settings "$settings" "$@"; fi
exec @NODE@ @PROGRAM@/dist/cli/main.js "$@"
