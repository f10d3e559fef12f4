#!/usr/bin/env bash
# Whose data are of one cluster, and which came of which. Each timeline stands with where the next one left it, so that two that took
# the same number by themselves differ: who begins as another does, and goes on, came after it.
: "${bin:?the tools of Postgres}" "${data:?}" "${slot:?what the first one keeps for the copy}"

identity() { "$bin/psql" "$1 dbname=postgres replication=database" -qAtX -F " " -c "IDENTIFY_SYSTEM"; }
own() { "$bin/pg_controldata" -D "$data" | sed -n "s/^$1: *//p"; }
branches() { sed -nE 's/^([0-9A-F]+\.history )?([0-9]+)\t([0-9A-F/]+).*/\2 \3;/p' | tr -d '\n'; }
ownLine() {
  local timeline file
  timeline=$(own "Latest checkpoint's TimeLineID") || return 1
  file="$data/pg_wal/$(printf %08X "$timeline").history"
  if [ -e "$file" ]; then branches < "$file"; fi
  echo "$timeline "
}
lineOf() {
  if [ "$2" != 1 ]; then "$bin/psql" "$1 dbname=postgres replication=database" -qAtX -F " " -c "TIMELINE_HISTORY $2" | branches || return 1; fi
  echo "$2 "
}
# Whether the first one keeps for the copy what that has not read yet: 1, or 0 where it could not for so long.
place() { "$bin/psql" "$1 dbname=postgres" -qAtX -c "select count(*) from pg_replication_slots where slot_name = '$slot' and wal_status is distinct from 'lost'"; }
