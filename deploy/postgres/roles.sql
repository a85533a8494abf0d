-- The roles and the two databases. PostgreSQL runs this when its volume is new; it may be run again,
-- for example after deploy/make-secrets has made other passwords:
--
--   docker compose -p lastro -f deploy/compose.production.yaml exec postgres \
--       psql -U postgres -f /docker-entrypoint-initdb.d/roles.sql
--
-- Each database belongs to a role of its own, as which `lastro migrate` and `lastro keys` log in. The
-- services log in as roles that own nothing: what these may do is granted by `lastro migrate --role`.
\set ON_ERROR_STOP on
\set QUIET on
\i /run/secrets/postgres-passwords.sql

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['orders_owner', 'inventory_owner', 'orders', 'inventory', 'reader']) AS name
WHERE name NOT IN (SELECT rolname FROM pg_roles)
\gexec

ALTER ROLE postgres PASSWORD :'postgres_password';
ALTER ROLE orders_owner PASSWORD :'orders_owner_password';
ALTER ROLE inventory_owner PASSWORD :'inventory_owner_password';
ALTER ROLE orders PASSWORD :'orders_password';
ALTER ROLE inventory PASSWORD :'inventory_password';
ALTER ROLE reader PASSWORD :'reader_password';

-- A service refuses a database with another encoding.
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C''', name, name || '_owner')
FROM unnest(ARRAY['orders', 'inventory']) AS name
WHERE name NOT IN (SELECT datname FROM pg_database)
\gexec

REVOKE ALL ON DATABASE orders, inventory FROM PUBLIC;
GRANT CONNECT ON DATABASE orders TO orders, reader;
GRANT CONNECT ON DATABASE inventory TO inventory, reader;
