#!/usr/bin/env bash
# Has the first one wait for the copy once it streams, and writes down what it said last: whoever promotes when it no longer answers
# knows by that whether it may have acknowledged what the copy lacks. Once the copy is promoted it fences the old one.
# `synchronous TIME`, `asynchronous TIME`, or `unheard TIME`: synchronous then, and not heard of since this began.
: "${word:?where that is written}" "${first:?the machine of the first one}" "${slot:?by which the copy streams}"
: "${fenced:?for whom it would wait for ever}" "${near:?in bytes}" "${script:?asks both}"

names="FIRST 1 ($slot)"
sql() { bash "$script" "$@"; }
timeline='substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'
# While this was away itself, the first one may have been told to wait no more.
if [ -e "$word" ]; then
  sed "s/^synchronous /unheard /" "$word" > "$word.new"
  mv -f "$word.new" "$word"
fi
while true; do
  # Of before the answer, which may hold no more when it is written down.
  at=$(date +%s)
  own=$(sql own "select case when pg_is_in_recovery() then 'copy' else $timeline end" || true)
  if [ -n "$own" ] && [ "$own" != copy ]; then
    # Promoted. The old one may come back, and must acknowledge nothing: a first one of before is fenced wherever it shows. One
    # that was promoted after this one is none of before.
    there=$(sql primary "select case when not pg_is_in_recovery() and current_setting('synchronous_standby_names') not like '%$fenced%' then $timeline end" 2> /dev/null || true)
    if [ -n "$there" ] && [[ ! $there > $own ]]; then
      sql primary "alter system set synchronous_standby_names = 'FIRST 1 ($fenced)'" || true
      sql primary "select pg_reload_conf()" > /dev/null || true
      echo "$first came back, and is fenced"
    fi
  elif now=$(sql primary "show synchronous_standby_names"); then
    # Close behind, so that nobody waits for what it lacks. Its slot says so to everybody; how it streams is shown to monitors alone.
    if [ -z "$now" ] && [ "$own" = copy ] && [ "$(sql primary "select count(*) from pg_replication_slots where slot_name = '$slot' and active and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < $near")" = 1 ]; then
      sql primary "alter system set synchronous_standby_names = '$names'"
      # Said the next time, if it still stands by then: commits wait once the checkpointer, too, has read it.
      sql primary "select pg_reload_conf()" > /dev/null
    fi
    case $now in
      "$names") mode=synchronous ;;
      # By a promotion that goes on: the last word stays what it was.
      *"$fenced"*) mode= ;;
      *) mode=asynchronous ;;
    esac
    if [ -n "$mode" ]; then
      printf "%s %s\n" "$mode" "$at" > "$word.new"
      mv -f "$word.new" "$word"
    fi
  fi
  sleep 5
done
