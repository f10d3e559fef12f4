#!/usr/bin/env bash
# Copies the first one once, whole or not at all, and follows it from then on; anew where the first one no longer has what comes next.
# Promoted, it follows nobody; and what was a first one itself until another took over is put aside, since it may hold what nobody else
# has.
: "${bin:?}" "${base:?folder of the data}" "${data:?}" "${primary:?how the first one is dialled}" "${first:?its machine}" "${slot:?}"
: "${port:?}" "${word:?the last word of the first one}" "${making:?}" "${lost:?what is asked for what does not come}"

# Cut off between its two renames below: the new one is whole.
if [ ! -e "$data" ] && [ -e "$data.old" ]; then mv -T "$data.new" "$data"; fi
rm -rf "$data.old"
anew=
if [ -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ]; then
  # Where both lost their power at once, the other may be on its way. Without it, it can be promoted all the same.
  until identity "$primary" > /dev/null 2>&1 || [ "$SECONDS" -gt 60 ]; do sleep 2; done
fi
if [ -s "$data/PG_VERSION" ]; then
  if there=$(identity "$primary"); then
    read -r system timeline rest <<< "$there"
    if [ "$system" != "$(own "Database system identifier")" ]; then
      echo "the data in $data is not a copy of $first's: put it elsewhere by hand (mv), then start again" >&2
      exit 1
    fi
    mine=$(ownLine)
    theirs=$(lineOf "$primary" "$timeline")
    # What was promoted here gives way to what came of it alone; all else to whatever does not lie behind it.
    isBefore=0
    if [ "$theirs" = "$mine" ]; then
      # Two that were first ones at once may even have parted at one place.
      if [ ! -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ] && [ "$("$bin/psql" "$primary dbname=postgres" -qAtX -c "select pg_is_in_recovery()")" = f ]; then isBefore=1; fi
    elif [[ $theirs == "$mine"* ]] || { [[ $mine != "$theirs"* ]] && [ ! -e "$data.promoted" ]; }; then
      isBefore=1
    fi
    if [ "$isBefore" = 1 ]; then
      # The mark first: without the data it would have nothing begin here again.
      rm -f "$data.promoted"
      sync "$base"
      mv "$data" "$data.before-$(date -u +%Y%m%dT%H%M%SZ)"
    elif [ -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ] && [ "$(place "$primary")" = 0 ]; then
      echo "$first no longer has what comes next here: the copy is made anew" >&2
      anew=1
    fi
  fi
  if [ -e "$data" ] && [ ! -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ]; then
    echo "the data in $data was a first one's, and $first does not say that it has taken over: bring $first up first" >&2
    exit 1
  fi
fi
if [ -e "$data.promoted" ]; then
  serve
fi
umask 077
# Until the new one is whole the old one is the copy that there is.
if [ ! -s "$data/PG_VERSION" ] || [ -n "$anew" ]; then
  until identity "$primary" > /dev/null 2>&1; do echo "waiting for $first" >&2; sleep 2; done
  rm -rf "$data.new"
  held="from pg_replication_slots where slot_name = '$slot'"
  "$bin/psql" "$primary dbname=postgres" -qAt -v ON_ERROR_STOP=1 -c "select pg_drop_replication_slot(slot_name) $held and wal_status = 'lost'" -c "select pg_create_physical_replication_slot('$slot') where not exists (select $held)" > /dev/null
  # By no name that the first one waits for: half a copy is none.
  "$bin/pg_basebackup" --pgdata "$data.new" --wal-method stream --checkpoint fast --slot "$slot" --dbname "$primary"
  # Whom the first one waits for is its own matter: the copy waits for nobody once it is a first one.
  sed -i "/^synchronous_standby_names/d" "$data.new/postgresql.auto.conf"
  touch "$data.new/standby.signal"
  sync "$data.new/standby.signal" "$data.new"
  # What was heard of the first one was said of another copy.
  rm -f "$word" "$making"
  # Renamed and then deleted: half of an old one in its place would want somebody's hands.
  if [ -e "$data" ]; then mv -T "$data" "$data.old"; fi
  mv -T "$data.new" "$data"
  rm -rf "$data.old"
fi
printf 'postgres.soulfra:%s:*:replicator:%s\n' "$port" "$PGPASSWORD" > "$base/pgpass.new"
mv -f "$base/pgpass.new" "$base/pgpass"
unset PGPASSWORD
serve -c "primary_conninfo=$primary application_name=$slot passfile=$base/pgpass" -c "primary_slot_name=$slot" -c "restore_command=bash $lost %f"
