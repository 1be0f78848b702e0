#!/bin/bash
# Entrypoint of the server image. At the first start it makes the cluster, the
# database, the extension and, if RECONCILER_PASSWORD is set, the role that
# reconcilerd logs in with; then, as at every later start, it runs the server.
#
#   POSTGRES_PASSWORD    the superuser's password; needed at the first start
#   POSTGRES_DB          the database that gets the extension (default: app)
#   RECONCILER_PASSWORD  password of the role "reconcilerd"
set -Eeuo pipefail

if [ "${1:-}" != postgres ] || [ -d "$PGDATA" ]; then
	exec "$@"
fi

: "${POSTGRES_PASSWORD:?is needed at the first start: the password of the superuser postgres}"
export POSTGRES_DB="${POSTGRES_DB:-app}"
case $POSTGRES_DB in
	*[!a-z0-9_]*) echo "POSTGRES_DB: use small letters, digits and _ only" >&2; exit 1 ;;
esac

run_sql()
{
	psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"
}

# Made aside and put in place in one step: a start that is cut off leaves
# nothing that looks like a cluster.
new="$PGDATA.new"
rm -rf "$new"
initdb --pgdata="$new" --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
	--auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
cat >> "$new/postgresql.conf" <<-CONF
	listen_addresses = '*'
	shared_preload_libraries = 'reconciler'
	reconciler.database = '$POSTGRES_DB'
CONF

pg_ctl --pgdata="$new" --options="-c listen_addresses=''" --silent --wait start >/dev/null
run_sql --dbname=postgres <<-'SQL'
	\getenv database POSTGRES_DB
	SELECT format('CREATE DATABASE %I', :'database') WHERE :'database' <> 'postgres' \gexec
SQL
run_sql --dbname="$POSTGRES_DB" --command='CREATE EXTENSION reconciler'
if [ -n "${RECONCILER_PASSWORD:-}" ]; then
	# A statement with a password in it must not reach the log, come what may.
	run_sql --dbname="$POSTGRES_DB" --output=/dev/null <<-'SQL'
		\getenv password RECONCILER_PASSWORD
		SET log_statement = 'none';
		SET log_min_error_statement = 'panic';
		CREATE ROLE reconcilerd LOGIN PASSWORD :'password';
		SELECT reconciler.grant_worker('reconcilerd');
	SQL
fi
pg_ctl --pgdata="$new" --silent --wait --mode=fast stop >/dev/null
mv "$new" "$PGDATA"

exec "$@"
