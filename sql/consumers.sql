-- Consumers of events: what each gets, when, and who may read.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_app;
CREATE ROLE regress_reconciler_clerk;
CREATE ROLE regress_reconciler_other;
SELECT reconciler.grant_app('regress_reconciler_app'), reconciler.grant_app('regress_reconciler_clerk'), reconciler.grant_app('regress_reconciler_other');
CREATE SCHEMA app AUTHORIZATION regress_reconciler_app;
SET ROLE regress_reconciler_app;
SELECT reconciler.create_table('app.r');
SELECT reconciler.create_table('app.other');
RESET ROLE;
SELECT source_id AS source FROM reconciler.sources WHERE relation = 'app.r'::regclass \gset
SELECT source_id AS other FROM reconciler.sources WHERE relation = 'app.other'::regclass \gset
SELECT reconciler._event('request.confirmed', :source, 'r' || i, '{}') FROM generate_series(1, 3) i;

-- What isn't right is refused
SET ROLE regress_reconciler_app;
SELECT reconciler.create_consumer('shipping', start => 'yesterday');
SELECT reconciler.create_consumer('');
SELECT reconciler.create_consumer(E'a\nb');
SELECT reconciler.create_consumer(NULL);
SELECT * FROM reconciler.read_events('shipping');
SELECT reconciler.create_consumer('shipping', start => 'beginning');
SELECT reconciler.create_consumer('shipping');
SELECT * FROM reconciler.read_events('shipping', 0);
SELECT * FROM reconciler.read_events('shipping', lease => '2 hours');
SELECT * FROM reconciler.read_events('shipping', reader => E'\t');
SELECT * FROM reconciler.read_events(NULL);
SELECT reconciler.ack_events('shipping', 1);
SELECT reconciler.ack_events('shipping', NULL);

-- Read and acknowledged; read again, what isn't acknowledged comes again
SELECT request_id FROM reconciler.read_events('shipping', 2);
SELECT request_id FROM reconciler.read_events('shipping', 2);
SELECT reconciler.ack_events('shipping', 3);
SELECT reconciler.ack_events('shipping', 1), reconciler.ack_events('shipping', 1);
SELECT kind, source, request_id, payload, at <= clock_timestamp() AS past FROM reconciler.read_events('shipping', 2);
SELECT name, role, unread, missed, reader IS NOT NULL AS read, lease_until > now() AS leased FROM reconciler.consumers;
SELECT reconciler.ack_events('shipping', 3), reconciler.ack_events('shipping', 2);
SELECT count(*) FROM reconciler.read_events('shipping');
SELECT name, unread, reader, lease_until FROM reconciler.consumers;

-- Waiting: not inside of a transaction, and only for what the caller may read
BEGIN;
CALL reconciler.wait_for_events('shipping');
ROLLBACK;
DO $$ BEGIN CALL reconciler.wait_for_events('shipping', '0'); END $$;
CREATE FUNCTION pg_temp.waits() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL reconciler.wait_for_events('shipping', '0'); END $$;
SELECT pg_temp.waits();
DROP FUNCTION pg_temp.waits;
CALL reconciler.wait_for_events('shipping', '10 ms');
CALL reconciler.wait_for_events('shipping', '-1 hour');
CALL reconciler.wait_for_events('shipping', NULL);
CALL reconciler.wait_for_events(NULL);
SET ROLE regress_reconciler_other;
CALL reconciler.wait_for_events('shipping');
RESET ROLE;

-- One reader has them at a time
RESET ROLE;
SELECT reconciler._event('request.confirmed', :source, 'r' || i, '{}') FROM generate_series(4, 5) i;
SET ROLE regress_reconciler_app;
CALL reconciler.wait_for_events('shipping', '1 hour');
SELECT request_id FROM reconciler.read_events('shipping', reader => 'a', lease => '1 hour');
CALL reconciler.wait_for_events('shipping', '10 ms', reader => 'b');
CALL reconciler.wait_for_events('shipping', '1 hour', reader => 'a');
SELECT request_id FROM reconciler.read_events('shipping', reader => 'b');
SELECT request_id FROM reconciler.read_events('shipping', reader => 'a', lease => '1 millisecond');
SELECT pg_sleep(0.01);
SELECT request_id FROM reconciler.read_events('shipping', reader => 'b');
SELECT reconciler.ack_events('shipping', 4);
SELECT request_id FROM reconciler.read_events('shipping', reader => 'a');
SELECT request_id FROM reconciler.read_events('shipping', reader => 'b');
SELECT reconciler.ack_events('shipping', 5);
RESET ROLE;

-- The transaction's own events come when it has committed, even if it reads in between
BEGIN;
SELECT reconciler._event('request.expired', :source, 'own 1', '{}');
SELECT request_id FROM reconciler.read_events('shipping');
SELECT reconciler._event('request.expired', :source, 'own 2', '{}');
SELECT request_id FROM reconciler.read_events('shipping');
COMMIT;
SELECT request_id FROM reconciler.read_events('shipping');
-- What is undone doesn't come
BEGIN;
SELECT reconciler._event('request.expired', :source, 'undone', '{}');
ROLLBACK;
SELECT request_id FROM reconciler.read_events('shipping');
-- nor does an acknowledgement count that is undone
BEGIN;
SELECT reconciler.ack_events('shipping', 7);
ROLLBACK;
SELECT request_id FROM reconciler.read_events('shipping');
SELECT reconciler.ack_events('shipping', 7);

-- Who may read: who may read the table, all of it
SET ROLE regress_reconciler_other;
SELECT * FROM reconciler.read_events('shipping');
SELECT reconciler.ack_events('shipping', 7);
SELECT reconciler.drop_consumer('shipping');
SELECT reconciler.restart_consumer('shipping', 'beginning');
SELECT * FROM reconciler.consumers;
SELECT * FROM reconciler.events;
SELECT * FROM reconciler.event_consumers;
SELECT * FROM reconciler._read_events('shipping', 1, '1 s', 'x', 'regress_reconciler_app');
SELECT reconciler.create_consumer('spying', start => 'beginning');
SELECT * FROM reconciler.read_events('spying');
RESET ROLE;
GRANT USAGE ON SCHEMA app TO regress_reconciler_other;
GRANT SELECT ON app.other TO regress_reconciler_other;
SELECT reconciler._event('request.confirmed', :other, 'of the other table', '{}');
SELECT reconciler._event('request.confirmed', :source, 'of the first', '{}');
SET ROLE regress_reconciler_other;
SELECT source, request_id FROM reconciler.read_events('spying');
RESET ROLE;
SELECT reconciler.restart_consumer('spying', 'beginning');
ALTER TABLE app.other ENABLE ROW LEVEL SECURITY;
SET ROLE regress_reconciler_other;
SELECT source, request_id FROM reconciler.read_events('spying');
RESET ROLE;
GRANT SELECT (id) ON app.r TO regress_reconciler_other;
SET ROLE regress_reconciler_other;
SELECT source, request_id FROM reconciler.read_events('spying');
RESET ROLE;
GRANT SELECT ON app.r TO regress_reconciler_other;
SELECT reconciler.restart_consumer('spying', 'beginning');
SET ROLE regress_reconciler_other;
SELECT source, count(*) FROM reconciler.read_events('spying') GROUP BY 1;
RESET ROLE;
-- detached, the table is still the table
SELECT reconciler.detach('app.r');
SET ROLE regress_reconciler_other;
SELECT source, count(*) FROM reconciler.read_events('spying') GROUP BY 1;
RESET ROLE;
DROP TABLE app.r;
SET ROLE regress_reconciler_other;
SELECT source, count(*) FROM reconciler.read_events('spying') GROUP BY 1;
RESET ROLE;
-- Members of the consumer's role may act for it
SET ROLE regress_reconciler_clerk;
SELECT count(*) FROM reconciler.read_events('shipping');
RESET ROLE;
GRANT regress_reconciler_app TO regress_reconciler_clerk;
SET ROLE regress_reconciler_clerk;
SELECT request_id FROM reconciler.read_events('shipping');
SELECT name FROM reconciler.consumers;
RESET ROLE;
-- A role that is gone has no rights
SELECT reconciler.create_consumer('mine', 'beginning');
SELECT count(*) FROM reconciler.read_events('mine', 1000);
UPDATE reconciler.event_consumers SET role = 'nobody' WHERE name = 'mine';
SELECT count(*) FROM reconciler.read_events('mine', 1000);
SELECT reconciler.drop_consumer('mine');

-- Transactions of another server: what a dump brought along is read to its end, then what is new
SELECT reconciler.create_consumer('restored', 'beginning');
UPDATE reconciler.events SET cluster = reconciler._cluster() + 1, xid = (xid::text::bigint + 1000000000)::text::xid8;
SELECT reconciler._event('request.confirmed', :other, 'after the restore', '{}');
UPDATE reconciler.event_consumers SET place.cluster = reconciler._cluster() + 1 WHERE name = 'restored';
SELECT array_agg(request_id ORDER BY event_id) FROM reconciler.read_events('restored', 3);
SELECT reconciler.ack_events('restored', 2);
SELECT array_agg(request_id ORDER BY event_id) FROM reconciler.read_events('restored', 100);
SELECT reconciler.ack_events('restored', max(event_id)) FROM reconciler.events WHERE cluster <> reconciler._cluster();
SELECT request_id FROM reconciler.read_events('restored');
SELECT reconciler.ack_events('restored', max(event_id)) FROM reconciler.events;
SELECT count(*) FROM reconciler.read_events('restored');
SELECT name, unread FROM reconciler.consumers WHERE name = 'restored';
-- A server that was set back must not go on as if nothing were missing
UPDATE reconciler.event_consumers SET place.seen = '9000000000:9000000000:', place.reading = NULL WHERE name = 'restored';
SELECT reconciler._event('request.confirmed', :other, 'in the past', '{}');
SELECT * FROM reconciler.read_events('restored');
SELECT reconciler.drop_consumer('restored');

-- Events are kept as long as a consumer needs them, but not for ever
CREATE FUNCTION grow_older(days int) RETURNS void LANGUAGE sql AS $$ UPDATE reconciler.events SET at = clock_timestamp() - make_interval(days => $1) $$;
SELECT reconciler.drop_consumer('spying');
SELECT reconciler.restart_consumer('shipping', 'beginning');
SELECT grow_older(6);
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;
SELECT grow_older(8);
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;
SELECT missed FROM reconciler.consumers;
SELECT grow_older(31);
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;
SELECT missed FROM reconciler.consumers;
SELECT * FROM reconciler.read_events('shipping');
SELECT reconciler.restart_consumer('shipping', 'beginning');
SELECT * FROM reconciler.read_events('shipping');
SELECT reconciler._event('request.confirmed', :other, 'later', '{}');
SELECT request_id FROM reconciler.read_events('shipping');
SELECT grow_older(8);
SELECT reconciler.ack_events('shipping', max(event_id)) FROM reconciler.events;
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;

SELECT reconciler.drop_consumer('shipping');
SELECT * FROM reconciler.consumers;
SELECT reconciler.revoke_app('regress_reconciler_app'), reconciler.revoke_app('regress_reconciler_clerk'), reconciler.revoke_app('regress_reconciler_other');
DROP EXTENSION reconciler CASCADE;
SET client_min_messages = warning;
DROP FUNCTION grow_older;
DROP SCHEMA app CASCADE;
DROP ROLE regress_reconciler_app, regress_reconciler_clerk, regress_reconciler_other;
