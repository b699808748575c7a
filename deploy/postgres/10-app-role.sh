#!/bin/sh
# Run once by the postgres image on an empty volume: the role that nodes serve as. It owns nothing (docs/operations.md).
set -eu
psql -v ON_ERROR_STOP=1 -v password="$SETPOINT_APP_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE setpoint_app LOGIN PASSWORD :'password';
SQL
