#!/usr/bin/env bash
# Postgres asks it for each file of changes that it does not get from the first one. It has none; but where the first one no longer
# keeps what comes next, its 255 ends Postgres, which is then begun anew and copies.
: "${data:?}" "${primary:?how the first one is dialled}" "${first:?its machine}"

case $1 in *.history) exit 1 ;; esac
# Whoever promotes waits for this.
if [ -e "$data.promoted" ]; then exit 1; fi
there=$(identity "$primary" 2> /dev/null) || exit 1
read -r system rest <<< "$there"
if [ "$system" = "$(own "Database system identifier")" ] && [ "$(place "$primary")" = 0 ]; then
  echo "$first no longer has $1" >&2
  exit 255
fi
exit 1
