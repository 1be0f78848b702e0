-- Webhooks: what is refused, signatures, claims in order, retries, dead letters, rights. The posting itself: test/t/240 on.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.create_table('public.r', allow_superuser_owner => true), reconciler.create_table('public.other', allow_superuser_owner => true);
SELECT source_id AS source FROM reconciler.sources WHERE relation = 'r'::regclass \gset
SELECT source_id AS other FROM reconciler.sources WHERE relation = 'other'::regclass \gset

-- The specification's example
SELECT reconciler._webhook_signature('msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}', k.inner_key, k.outer_key)
FROM reconciler._webhook_keys('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') k;

-- What isn't right is refused, and no secret is repeated
SELECT reconciler.add_webhook('', 'https://example.com/');
SELECT reconciler.add_webhook('a', NULL);
SELECT reconciler.add_webhook('a', 'example.com');
SELECT reconciler.add_webhook('a', 'ftp://example.com/');
SELECT reconciler.add_webhook('a', 'file:///etc/passwd');
SELECT reconciler.add_webhook('a', 'http://example.com/s3cret');
SELECT reconciler.add_webhook('a', u) FROM unnest(ARRAY['https://127.0.0.1/']) u;
SELECT replace(u, E'\r\n', '<CR LF>') AS u, reconciler._webhook_url_problem(u, '') FROM unnest(ARRAY['https://[::1]/', 'https://10.1.2.3:8443/x', 'https://169.254.169.254/latest', 'https://2130706433/',
	'https://0x7f.1/', 'https://0177.0.0.1/', 'https://127.1/', 'https://[::ffff:127.0.0.1]/', 'https://[fe80::1]/', 'https://[fd00::1]/', 'https://0/', 'https://100.64.0.1/',
	E'https://example.com/\r\nX-Evil: 1', 'https://example.com/a b', 'https://example.com\@10.0.0.1/', 'https://user:pw@10.0.0.1/', 'https://8.8.8.8/', 'https://[2606:4700::1111]/',
	'https://example.com/hook?key=1', 'https://user:pw@example.com/', 'https://']) u;
SELECT reconciler._webhook_url_problem('https://example.com/' || repeat('x', 2000), '');
SELECT u, hosts, reconciler._webhook_url_problem(u, hosts) FROM (VALUES ('https://example.com/', 'example.com'), ('https://EXAMPLE.com./', 'example.com'), ('https://evil.com/', 'example.com'),
	('https://hooks.example.com/', 'example.com'), ('https://hooks.example.com/', '*.example.com'), ('https://evilexample.com/', '*.example.com'), ('https://example.com/', '*.example.com'),
	('http://example.com/', 'example.com'), ('http://example.com/', '*'), ('https://example.com/', '*'), ('http://127.0.0.1:81/', '127.0.0.1'), ('http://127.0.0.2/', '127.0.0.1'),
	('https://10.1.2.3/', '10.0.0.0/8'), ('https://11.1.2.3/', '10.0.0.0/8'), ('https://[::1]/', '::1'), ('https://10.1.2.3/', 'example.com,10.0.0.0/8'), ('https://localhost/', 'example.com'),
	('https://8.8.8.8/', 'example.com'), ('https://x.com/', '10.0.0.0/33'), ('https://x.com/', 'a b:c'), ('https://x.com/', 'http://x.com')) v(u, hosts);
SELECT reconciler.add_webhook('a', 'https://example.com/', secret => 'whsec_dG9wc2VjcmV0');
SELECT reconciler.add_webhook('a', 'https://example.com/', secret => 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
SELECT reconciler.add_webhook('a', 'https://example.com/', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8I====2LaLaSw');
SELECT reconciler.add_webhook('a', 'https://example.com/', secret => 'whsec_' || encode(decode(repeat('ab', 65), 'hex'), 'base64'));
SELECT reconciler.add_webhook('a', 'https://example.com/', events => '{}');
SELECT reconciler.add_webhook('a', 'https://example.com/', events => '{request.confirmed,NULL}');
SELECT reconciler.add_webhook('a', 'https://example.com/', events => '{request}');
SELECT reconciler.add_webhook('a', 'https://example.com/', source => 'pg_class');
SELECT reconciler.set_webhook('a', enabled => false);
SELECT reconciler.remove_webhook('a');
SELECT reconciler.retry_webhook('a'), reconciler.discard_webhook('a');
SELECT * FROM reconciler.webhooks_due('w');
SELECT count(*) FROM reconciler.webhook_place;

-- One that is sent everything, one that is sent some
SELECT reconciler.add_webhook('all', 'https://user:s3cret@example.com/hook/s3cret', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
SELECT reconciler.add_webhook('all', 'https://example.com/');
SELECT reconciler.add_webhook('some', 'https://example.org/', events => '{request.confirmed,payment.*}', source => 'r') ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS made;
SELECT name, url, events, source, enabled, waiting, dead FROM reconciler.stat_webhooks ORDER BY name;
SELECT reconciler._event(k, s, id, '{"seen": "1"}') FROM (VALUES (1, 'request.detected', :source, 'a'), (2, 'request.confirmed', :source, 'a'), (3, 'request.detected', :source, 'b'),
	(4, 'payment.late', :source, 'b'), (5, 'request.confirmed', :other, 'a'), (6, 'paymentx', :source, 'c')) v(n, k, s, id) ORDER BY n;
SELECT w.name, d.due_ms FROM reconciler.webhooks_due('w') d LEFT JOIN reconciler.webhooks w USING (webhook_id) ORDER BY 1;
SELECT w.name, d.due_ms FROM reconciler.webhooks_due('w') d LEFT JOIN reconciler.webhooks w USING (webhook_id) ORDER BY 1;
SELECT name, waiting FROM reconciler.stat_webhooks ORDER BY name;
SELECT webhook_id AS all_id FROM reconciler.webhooks WHERE name = 'all' \gset
SELECT webhook_id AS some_id FROM reconciler.webhooks WHERE name = 'some' \gset

-- Claimed: the first of each request; the rest waits for it
CREATE TEMP TABLE claimed AS SELECT * FROM reconciler.claim_webhook('w', :all_id, 10);
SELECT c.turn, c.url, c.timeout_ms, c.message_id, abs(c.timestamp::bigint - extract(epoch FROM now())) < 60 AS now, convert_from(decode(c.body, 'hex'), 'UTF8')::jsonb - 'timestamp' AS body
FROM claimed c ORDER BY turn;
SELECT bool_and(c.signature = reconciler._webhook_signature(convert_to(c.message_id || '.' || c.timestamp || '.' || convert_from(decode(c.body, 'hex'), 'UTF8'), 'UTF8'), k.inner_key, k.outer_key)) AS signed
FROM claimed c, reconciler._webhook_keys('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') k;
SELECT count(*) FROM reconciler.claim_webhook('w2', :all_id, 10);
SELECT outcome, name, event_id, attempts FROM claimed c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, 200, NULL, NULL) WHERE c.turn = 1;
SELECT turn FROM reconciler.claim_webhook('w2', :all_id, 10);
-- Without its token it is nobody's
\set VERBOSITY terse
SELECT * FROM claimed c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, 200, NULL, NULL) WHERE c.turn = 1;
SELECT * FROM reconciler.finish_webhook('w', :all_id, 3, NULL, 200, NULL, NULL);
SELECT * FROM reconciler.finish_webhook('w', :all_id, 3, '17', 200, NULL, NULL);
SELECT * FROM reconciler.finish_webhook('w', :all_id, 4, NULL, 200, NULL, NULL);
-- A lease that has ended is another worker's
UPDATE reconciler.webhook_deliveries SET lease_until = now() - interval '1 s', due_at = now() WHERE turn = 3 AND webhook_id = :all_id;
CREATE TEMP TABLE again AS SELECT * FROM reconciler.claim_webhook('w2', :all_id, 10);
SELECT turn FROM again;
SELECT * FROM claimed c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, 200, NULL, NULL) WHERE c.turn = 3;
\set VERBOSITY default
-- Failed: tried again later, and what follows with it
SELECT outcome, attempts FROM again c, reconciler.finish_webhook('w2', :all_id, c.turn, c.token, 500, NULL, NULL);
SELECT turn, attempts, status, error, due_at > now() + interval '2 s' AS later, due_at < now() + interval '16 s' AS soon FROM reconciler.webhook_deliveries
WHERE webhook_id = :all_id AND source = 'public.r' AND request_id = 'b' ORDER BY turn;
-- Released: nobody has tried
SELECT outcome, attempts FROM claimed c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, NULL, NULL, NULL) WHERE c.turn = 5;
SELECT attempts, due_at FROM reconciler.webhook_deliveries WHERE webhook_id = :all_id AND turn = 5;
-- Retry-After holds for the whole endpoint
SELECT count(*) FROM reconciler.claim_webhook('w', :all_id, 1);
SELECT outcome FROM reconciler.webhook_deliveries d, reconciler.finish_webhook('w', d.webhook_id, d.turn, d.lease_token, 429, NULL, 3600000) WHERE d.webhook_id = :all_id AND d.turn = 5;
SELECT rest_until > now() + interval '59 min' AS rests, failures, error FROM reconciler.stat_webhooks WHERE name = 'all';
SELECT count(*) FROM reconciler.claim_webhook('w', :all_id, 10);
-- and for it alone
SELECT turn FROM reconciler.claim_webhook('w', :some_id, 10);
SELECT outcome FROM reconciler.webhook_deliveries d, reconciler.finish_webhook('w', d.webhook_id, d.turn, d.lease_token, 204, NULL, NULL) WHERE d.webhook_id = :some_id AND d.lease_token IS NOT NULL;

-- Given up after its time; what follows has its turn then
UPDATE reconciler.webhook_state SET rest_until = '-infinity';
UPDATE reconciler.webhook_deliveries SET first_at = now() - interval '4 days', lease_until = NULL, lease_token = NULL, due_at = '-infinity';
CREATE TEMP TABLE last_try AS SELECT * FROM reconciler.claim_webhook('w', :all_id, 10);
SELECT turn FROM last_try ORDER BY 1;
SELECT outcome FROM last_try c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, NULL, E'bad\nthing ' || repeat('x', 1000), NULL);
SELECT DISTINCT left(error, 10) AS error FROM reconciler.webhook_dead_letters;
SELECT name, event_id, kind, source, request_id, attempts, status, length(error) FROM reconciler.webhook_dead_letters ORDER BY event_id;
UPDATE reconciler.webhook_state SET rest_until = '-infinity', failures = 0;
SELECT turn FROM reconciler.claim_webhook('w', :all_id, 10);
SELECT reconciler.retry_webhook('all', 1), reconciler.retry_webhook('all', 3), reconciler.retry_webhook('some');
SELECT turn, event_id, attempts, dead_at IS NULL AS alive FROM reconciler.webhook_deliveries WHERE webhook_id = :all_id AND event_id = 3;
SELECT reconciler.discard_webhook('all'), reconciler.discard_webhook('all');

-- An endpoint that keeps failing is tried with one delivery at a time
SELECT reconciler._event('request.expired', :source, 'x' || i, '{}') FROM generate_series(1, 20) i;
SELECT count(*) FROM reconciler.webhooks_due('w');
CREATE TEMP TABLE failing AS SELECT * FROM reconciler.claim_webhook('w', :all_id, 5);
SELECT count(*) FROM failing;
SELECT outcome, count(*) FROM failing c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, NULL, 'timed out', NULL) GROUP BY 1;
SELECT failures, rest_until > now() AS rests, error FROM reconciler.stat_webhooks WHERE name = 'all';
SELECT count(*) FROM reconciler.claim_webhook('w', :all_id, 10);
UPDATE reconciler.webhook_state SET rest_until = now();
CREATE TEMP TABLE probe AS SELECT * FROM reconciler.claim_webhook('w', :all_id, 10);
SELECT count(*) FROM probe;
SELECT count(*) FROM reconciler.claim_webhook('w2', :all_id, 10);
SELECT outcome FROM probe c, reconciler.finish_webhook('w', :all_id, c.turn, c.token, 200, NULL, NULL);
SELECT failures, rest_until, delivered FROM reconciler.stat_webhooks WHERE name = 'all';
SELECT count(*) FROM reconciler.claim_webhook('w', :all_id, 10);
-- An answer that refuses what was sent says that the endpoint works
SELECT outcome, count(*) FROM reconciler.webhook_deliveries d, reconciler.finish_webhook('w', d.webhook_id, d.turn, d.lease_token, 400, NULL, NULL) WHERE d.webhook_id = :all_id AND d.lease_token IS NOT NULL GROUP BY 1;
SELECT failures, rest_until, error FROM reconciler.stat_webhooks WHERE name = 'all';
-- What waits for one that has failed for days is given up with it
UPDATE reconciler.webhook_state SET failures = 9, failing_since = now() - interval '4 days' WHERE webhook_id = :all_id;
UPDATE reconciler.webhook_deliveries SET at = now() - interval '4 days' WHERE webhook_id = :all_id AND attempts = 0;
SELECT reconciler.retire_events('w');
SELECT waiting > 0 AS some_wait, dead > 3 AS others_dead FROM reconciler.stat_webhooks WHERE name = 'all';
SELECT DISTINCT left(error, 20) AS error FROM reconciler.webhook_dead_letters WHERE attempts = 0 ORDER BY 1;

SELECT code, regexp_replace(what, '[0-9]+ (dead|events)', 'n \1') AS what FROM reconciler.health() WHERE code LIKE 'webhook%' AND code <> 'webhook_behind';
UPDATE reconciler.webhook_deliveries SET at = now() - interval '2 hours' WHERE dead_at IS NULL;
SELECT code, what ~ '^[0-9]+ events wait for webhook all since .*: HTTP status 400$' AS described FROM reconciler.health() WHERE code = 'webhook_behind';
UPDATE reconciler.webhooks SET url = 'http://127.0.0.1/s3cret' WHERE name = 'some';
SELECT code, what FROM reconciler.health() WHERE code = 'webhook_refused';
UPDATE reconciler.webhooks SET url = 'https://example.org/' WHERE name = 'some';

-- Another secret: both sign for a while
SELECT reconciler.rotate_webhook_secret('all', keep_old => '1 year');
SELECT reconciler.rotate_webhook_secret('all', 'whsec_' || encode(sha256('new'), 'base64'));
SELECT two_secrets FROM reconciler.stat_webhooks WHERE name = 'all';
UPDATE reconciler.webhook_state SET failures = 0, failing_since = NULL, rest_until = '-infinity';
UPDATE reconciler.webhook_deliveries SET lease_until = NULL, due_at = '-infinity';
WITH c AS (SELECT *, convert_to(message_id || '.' || "timestamp" || '.', 'UTF8') || decode(body, 'hex') AS message FROM reconciler.claim_webhook('w', :all_id, 1))
SELECT c.signature = reconciler._webhook_signature(c.message, n.inner_key, n.outer_key) || ' ' || reconciler._webhook_signature(c.message, o.inner_key, o.outer_key) AS both
FROM c, reconciler._webhook_keys('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') o, reconciler._webhook_keys('whsec_' || encode(sha256('new'), 'base64')) n;
SELECT reconciler.rotate_webhook_secret('all', keep_old => '0') ~ '^whsec_' AS made;
SELECT signature ~ '^v1,[A-Za-z0-9+/]{43}=$' AS one FROM reconciler.claim_webhook('w', :all_id, 1);

-- Events that nothing but a webhook waits for are kept
UPDATE reconciler.events SET at = now() - interval '8 days';
SELECT reconciler._event('request.expired', :source, 'unqueued', '{}');
UPDATE reconciler.events SET at = now() - interval '8 days' WHERE request_id = 'unqueued';
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;
SELECT count(*) > 0 AS asked FROM reconciler.webhooks_due('w');
SELECT reconciler.retire_events('w');
SELECT count(*) FROM reconciler.events;

-- Paused, changed, removed
SELECT reconciler.set_webhook('some', enabled => false);
SELECT reconciler._event('request.confirmed', :source, 'paused', '{}');
SELECT count(*) FROM reconciler.webhooks_due('w') WHERE webhook_id = :some_id;
SELECT count(*) FROM reconciler.claim_webhook('w', :some_id, 10);
SELECT reconciler.set_webhook('some', enabled => true);
SELECT due_ms FROM reconciler.webhooks_due('w') WHERE webhook_id = :some_id;
SELECT convert_from(decode(body, 'hex'), 'UTF8')::jsonb #>> '{data,request_id}' AS request FROM reconciler.claim_webhook('w', :some_id, 10);
SELECT reconciler.set_webhook('some', url => 'http://10.0.0.1/');
SELECT reconciler.set_webhook('some', url => 'https://example.net/', events => '{*}');
SELECT url, events FROM reconciler.stat_webhooks WHERE name = 'some';

-- A worker's role can send, and see no secret
CREATE ROLE regress_reconciler_worker;
CREATE ROLE regress_reconciler_app;
CREATE ROLE regress_reconciler_monitor IN ROLE pg_monitor;
SELECT reconciler.grant_worker('regress_reconciler_worker'), reconciler.grant_app('regress_reconciler_app');
SET ROLE regress_reconciler_worker;
SELECT count(*) > 0 AS asked FROM reconciler.webhooks_due('w');
SELECT count(*) > 0 AS claimed FROM reconciler.claim_webhook('w', :all_id, 1);
SELECT * FROM reconciler.webhooks;
SELECT * FROM reconciler.webhook_deliveries;
SELECT reconciler._webhook_keys('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
SELECT reconciler._webhook_signature('forged', '', '');
SELECT reconciler.add_webhook('mine', 'https://example.com/');
SELECT reconciler.rotate_webhook_secret('all');
SET ROLE regress_reconciler_app;
SELECT reconciler.add_webhook('mine', 'https://example.com/');
SELECT * FROM reconciler.stat_webhooks;
SELECT count(*) FROM reconciler.claim_webhook('w', :all_id, 1);
SET ROLE regress_reconciler_monitor;
SELECT name, url FROM reconciler.stat_webhooks ORDER BY 1;
SELECT count(*) > 0 AS seen FROM reconciler.webhook_dead_letters;
SELECT * FROM reconciler.webhooks;
RESET ROLE;
SELECT reconciler.revoke_worker('regress_reconciler_worker'), reconciler.revoke_app('regress_reconciler_app');

SELECT reconciler.remove_webhook('all'), reconciler.remove_webhook('some');
SELECT (SELECT count(*) FROM reconciler.webhook_deliveries) AS deliveries, (SELECT count(*) FROM reconciler.webhook_place) AS places;
DROP ROLE regress_reconciler_worker, regress_reconciler_app, regress_reconciler_monitor;
DROP TABLE r, other, claimed, again, last_try, failing, probe;
DROP EXTENSION reconciler;
