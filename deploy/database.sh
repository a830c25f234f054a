#!/bin/sh
# One of several PostgreSQL databases that stand in for each other:
#   sh database.sh create [...]   the first one: makes the data, if it has none
#   sh database.sh follow [...]   a standby: copies the primary, if it has no data
# Further arguments are the server's.
# Either follows where another one is primary already, and starts what data
# there is. Needs in the environment: NAME, its name in STANDBYS; PEERS, where
# all of them are, as libpq takes it; PGDATA; KALDRIX_PASSWORD and
# STANDBY_PASSWORD, of letters and digits; PORT, if not 5432.
set -eu
: "${NAME:?}" "${PEERS:?}" "${STANDBYS:?}" "${PGDATA:?}"
: "${KALDRIX_PASSWORD:?}" "${STANDBY_PASSWORD:?}"
role="$1"
shift
mkdir -p "$(dirname "$PGDATA")"
# For libpq, here and in the server.
export PGPASSWORD="$STANDBY_PASSWORD" PGCONNECT_TIMEOUT=3
primary="$PEERS user=standby target_session_attrs=primary"
# Data is made beside its place: what is there is whole.
new="$PGDATA.new"

has_primary() {
  psql "$primary replication=true" -c IDENTIFY_SYSTEM >/dev/null 2>&1
}

create() {
  rm -rf "$new"
  initdb --pgdata="$new" --username=postgres --encoding=UTF8 --no-locale \
    --auth-local=peer --auth-host=scram-sha-256
  # The service's user owns its database, and may see whether standbys follow.
  postgres --single -D "$new" postgres >/dev/null <<SQL
create role standby login replication password '$STANDBY_PASSWORD'
create role kaldrix login password '$KALDRIX_PASSWORD'
grant pg_read_all_stats to kaldrix
create database rt owner kaldrix
SQL
  cat >>"$new/pg_hba.conf" <<HBA
host rt kaldrix all scram-sha-256
host replication standby all scram-sha-256
HBA
  # In a file, so that "alter system" can say otherwise. A primary does not wait
  # for itself: all have the same names.
  echo "synchronous_standby_names = '$STANDBYS'" >>"$new/postgresql.conf"
  mv "$new" "$PGDATA"
}

follow() {
  until rm -rf "$new" && pg_basebackup --dbname="$primary" --pgdata="$new" \
    --checkpoint=fast; do
    sleep 1
  done
  touch "$new/standby.signal"
  mv "$new" "$PGDATA"
}

if [ ! -e "$PGDATA" ]; then
  if [ "$role" = create ] && ! has_primary; then create; else follow; fi
elif [ ! -e "$PGDATA/standby.signal" ] && has_primary; then
  echo "$NAME was primary, and another one is now: remove its data, and it follows" >&2
  sleep 5
  exit 1
fi
exec postgres -D "$PGDATA" -p "${PORT:-5432}" -c listen_addresses='*' \
  -c wal_keep_size=1GB -c wal_retrieve_retry_interval=1s \
  -c primary_conninfo="$primary application_name=$NAME" "$@"
