-- The least that Plimsoll needs on a server, Postgres 13 to 18. Run it as a superuser:
--   psql -d app -v role=plimsoll -f monitor-role.sql
-- The role that reads is given nothing that writes. Set the password afterwards with \password plimsoll.

\set ON_ERROR_STOP on
\if :{?role}
\else
  \set role plimsoll
\endif

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

-- One connection that observes, and one while it reconnects; two more for each further database
-- of this server that is watched.
ALTER ROLE :"role" CONNECTION LIMIT 2;
-- A second lock on the door: Plimsoll's sessions are read-only by themselves.
ALTER ROLE :"role" SET default_transaction_read_only = on;

-- Tier "monitor": sizes, settings, and the activity and statements of other roles.
GRANT pg_monitor TO :"role";

-- Statement statistics. The library must be loaded at server start:
--   ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';  -- then restart
-- Add it to what is already there instead of replacing it.
SELECT 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements'
WHERE EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')
\gexec

-- Tier "advisor", only for advice that reads plans and column statistics. It lets the role read
-- every table, so it stands here as a comment (14 and later):
--   GRANT pg_read_all_data TO plimsoll;

-- Writing is another role's, and only where the target's section has `allow_writes` and a `writer`:
--   CREATE ROLE plimsoll_writer LOGIN;
-- "vacuum", 17 and later: table by table, or of all tables
--   GRANT MAINTAIN ON app.lead TO plimsoll_writer;
--   GRANT pg_maintain TO plimsoll_writer;
-- "vacuum", before 17: only a table's owner may; membership also lets the role drop the table
--   GRANT app_owner TO plimsoll_writer;
-- "archive": rows of these tables, and a place for them
--   GRANT USAGE ON SCHEMA app TO plimsoll_writer;
--   GRANT SELECT, UPDATE, DELETE ON app.event TO plimsoll_writer;  -- UPDATE locks rows, nothing more
--   GRANT SELECT ON app.note TO plimsoll_writer;  -- each table whose foreign key refers to app.event
--   CREATE SCHEMA archive AUTHORIZATION plimsoll_writer;
-- or, for a destination that is another's: INSERT, SELECT and UPDATE (it locks rows), and DELETE for retentionDays
-- so that it is told whose snapshot keeps dead rows:
--   GRANT pg_read_all_stats TO plimsoll_writer;
-- Triggers on these tables run as this role when rows go.
