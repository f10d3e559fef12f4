#!/usr/bin/env bash
# `standby-sql.sh own|primary SQL`: asks the copy, or the first one. `fenced`: whether a commit there waits. `promote`: as whose the
# data are, so that no role needs a right for it. `mark`: from now on it may start as a first one. `word`: the last word.
: "${bin:?}" "${base:?folder of the data}" "${data:?}" "${primary:?how the first one is dialled}" "${self:?how the copy is}"
: "${word:?the last word of the first one}"

case $1 in
  own) to=$self sql=$2 ;;
  primary) to=$primary sql=$2 ;;
  fenced)
    timeout 3 "$bin/psql" "$primary dbname=postgres" -qAtX -v ON_ERROR_STOP=1 -c "select pg_logical_emit_message(true, 'soulfra', 'fenced')" > /dev/null && code=0 || code=$?
    case $code in
      0)
        echo f
        exit
        ;;
      # A slow disk may hold it up as long: it is fenced only where it waits for another machine.
      124) to=$primary sql="select count(*) > 0 from pg_stat_activity where usename = current_user and wait_event = 'SyncRep'" ;;
      *) exit "$code" ;;
    esac
    ;;
  promote)
    as=()
    if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid="$(stat -c %u "$data")" --regid="$(stat -c %g "$data")" --clear-groups --); fi
    exec "${as[@]}" "$bin/pg_ctl" promote --pgdata "$data" --wait --timeout 120 --silent
    ;;
  mark)
    # Before Postgres takes away, for good, what says that it is a copy.
    touch "$data.promoted"
    sync "$data.promoted" "$base"
    exit
    ;;
  word)
    cat "$word" 2> /dev/null || true
    exit
    ;;
  *)
    echo "own, primary, fenced, promote, mark or word" >&2
    exit 2
    ;;
esac
exec "$bin/psql" "$to dbname=postgres" -qAtX -v ON_ERROR_STOP=1 -c "$sql"
