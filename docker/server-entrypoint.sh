#!/bin/bash
# Entrypoint of the server image. At the first start it makes the cluster, the
# database, the extension and, if RECONCILER_PASSWORD is set, the role that
# reconcilerd logs in with; then, as at every later start, it runs the server.
#
#   POSTGRES_PASSWORD    the superuser's password; needed at the first start
#   POSTGRES_DB          the database that gets the extension (default: app)
#   RECONCILER_PASSWORD  password of the role "reconciler"
set -Eeuo pipefail

if [ "${1:-}" != postgres ] || [ -s "$PGDATA/PG_VERSION" ]; then
	exec "$@"
fi

: "${POSTGRES_PASSWORD:?set it: the password of the superuser postgres}"
export POSTGRES_DB="${POSTGRES_DB:-app}"

# Made aside and moved in one step, so that a start which was cut off is begun
# anew, instead of leaving half a cluster that looks like a whole one.
new="$PGDATA/.new"
rm -rf "$new"
initdb --pgdata="$new" --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
	--auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
cat >> "$new/postgresql.conf" <<-CONF
	listen_addresses = '*'
	shared_preload_libraries = 'reconciler'
	reconciler.database = '$POSTGRES_DB'
CONF

run_sql()
{
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"
}

pg_ctl --pgdata="$new" --options="-c listen_addresses=''" --silent --wait start >/dev/null
run_sql --dbname=postgres <<-'SQL'
	\getenv database POSTGRES_DB
	SELECT format('CREATE DATABASE %I', :'database') WHERE :'database' <> 'postgres' \gexec
SQL
run_sql --dbname="$POSTGRES_DB" --command='CREATE EXTENSION reconciler'
if [ -n "${RECONCILER_PASSWORD:-}" ]; then
	# A statement with a password in it must not reach the log, come what may.
	run_sql --dbname="$POSTGRES_DB" <<-'SQL'
		\getenv password RECONCILER_PASSWORD
		SET log_statement = 'none';
		SET log_min_error_statement = 'panic';
		CREATE ROLE reconciler LOGIN PASSWORD :'password';
		SELECT reconciler.grant_worker('reconciler');
	SQL
fi >/dev/null
pg_ctl --pgdata="$new" --silent --wait --mode=fast stop >/dev/null

mv "$new/PG_VERSION" "$new/.PG_VERSION"
find "$new" -mindepth 1 -maxdepth 1 -exec mv -t "$PGDATA" {} +
mv "$PGDATA/.PG_VERSION" "$PGDATA/PG_VERSION"
rmdir "$new"

exec "$@"
