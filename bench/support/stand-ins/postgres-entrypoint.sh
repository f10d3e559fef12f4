#!/usr/bin/env bash
# What the image of Postgres promises to whoever starts it as any user: data where there is none, by POSTGRES_INITDB_ARGS and the password
# of a file; what lies in /docker-entrypoint-initdb.d is run against a server that only its socket reaches; then the words that it was given.
set -euo pipefail

mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # initdb wants a name for who it runs as.
  names=$(mktemp -d)
  echo "postgres:x:$(id -u):$(id -g)::$PGDATA:/bin/false" > "$names/passwd"
  echo "postgres:x:$(id -g):" > "$names/group"
  wrapper=$(echo /usr/lib/*/libnss_wrapper.so)
  # The arguments are words of a shell, as there.
  # shellcheck disable=SC2086
  LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$names/passwd NSS_WRAPPER_GROUP=$names/group \
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" ${POSTGRES_INITDB_ARGS:-}
  rm -r "$names"
  PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export PGPASSWORD
  pg_ctl --pgdata "$PGDATA" --wait -o "$(printf '%q ' "${@:2}") -c listen_addresses='' -p 5432" start
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username postgres --dbname postgres -p 5432 -f "$file"
  done
  pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
  unset PGPASSWORD
fi
exec "$@"
