#!/bin/sh
# Run once by the image of PostgreSQL, on an empty volume: the application logs in as a role that owns nothing.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$APPLICATION_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE marketplace_app NOLOGIN;
CREATE ROLE marketplace_web LOGIN PASSWORD :'password' IN ROLE marketplace_app;
SQL
