#!/usr/bin/env bash
# What a first one that has a standby looks at before it starts: whether that was promoted while it was away, or is a first one of its own.
: "${bin:?}" "${data:?}" "${other:?how the standby is dialled}" "${standby:?its machine}"

if [ ! -s "$data/PG_VERSION" ] || ! there=$(identity "$other" 2> /dev/null); then exit 0; fi
read -r system timeline rest <<< "$there"
if [ "$system" != "$(own "Database system identifier")" ]; then exit 0; fi
copies=$("$bin/psql" "$other dbname=postgres" -qAtX -c "select pg_is_in_recovery()")
mine=$(ownLine)
theirs=$(lineOf "$other" "$timeline")
# A first one has to be of before this one; what a restore left behind itself, a copy may still have.
if [ "$copies" = t ]; then isLater=$((timeline > ${mine##*;})); elif [ "$mine" != "$theirs" ] && [[ $mine == "$theirs"* ]]; then isLater=0; else isLater=1; fi
if [ "$isLater" = 1 ]; then
  echo "$standby was promoted while this machine was away: what lies here is of before, and stays out. Make it the standby of $standby (deploy/runbooks/04-promote-the-standby.md)" >&2
  exit 1
fi
