-- The ledger against an audit that reads all canonical blocks itself: made-up blocks with
-- forks (A-B-A among them), steps that run again, stale tokens and hashes, transactions
-- that move between blocks and places in them, requests that come, end and share payees.
-- Other seeds: PGOPTIONS='-c audit.seed=…' sets the first of them.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 3, tokens => 'logs') AS net \gset
CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric, address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('bills', allow_superuser_owner => true) > 0 AS attached;

-- What the chain is: blocks by hash; events of transactions, which may stand in several blocks
CREATE TABLE chain_blocks (hash text PRIMARY KEY, height bigint, previous text, time bigint, credits jsonb);
CREATE FUNCTION holder(i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(to_hex(i), 40, 'a') $$;
CREATE FUNCTION canonical(tip text) RETURNS SETOF chain_blocks LANGUAGE sql STABLE AS $$
	WITH RECURSIVE c AS (SELECT b.* FROM chain_blocks b WHERE b.hash = tip
						 UNION ALL SELECT b.* FROM c JOIN chain_blocks b ON b.hash = c.previous)
	SELECT * FROM c
$$;

-- A block on top of another: new transactions, or ones of a branch that was left, in other places
CREATE FUNCTION mine(on_top text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	b chain_blocks;
	c jsonb := '[]';
	known text[];
	place int := 0;
	again record;
BEGIN
	SELECT * INTO b FROM chain_blocks WHERE hash = on_top;
	known := ARRAY(SELECT x ->> 0 FROM canonical(on_top) k, jsonb_array_elements(k.credits) x);
	FOR again IN
		SELECT DISTINCT ON (x ->> 0) k.credits, x ->> 0 AS txid FROM chain_blocks k, jsonb_array_elements(k.credits) x
		WHERE x ->> 0 <> ALL (known) AND x ->> 0 IS NOT NULL
	LOOP
		CONTINUE WHEN random() < 0.7;
		place := place + floor(random() * 3)::int;
		SELECT c || jsonb_agg(jsonb_set(x, '{1}', to_jsonb(place + n::int)) ORDER BY n) INTO c
		FROM (SELECT x, row_number() OVER () AS n FROM jsonb_array_elements(again.credits) x WHERE x ->> 0 = again.txid) y;
		place := place + 5;
	END LOOP;
	FOR i IN 1 .. floor(random() * 4)::int LOOP
		place := place + 1;
		c := c || jsonb_build_array(jsonb_build_array('t' || nextval('transactions'), place, holder(4096) || holder(1 + floor(random() * 6)::int), (1 + floor(random() * 5))::int * 100, 'token', '0x' || holder(99)));
		IF random() < 0.3 THEN		-- a second event of the same transaction
			place := place + 1;
			c := c || jsonb_build_array(jsonb_set(jsonb_set(c -> -1, '{1}', to_jsonb(place)), '{2}', to_jsonb(holder(4096) || holder(1 + floor(random() * 6)::int))));
		END IF;
	END LOOP;
	INSERT INTO chain_blocks VALUES ('h' || nextval('hashes'), b.height + 1, b.hash, b.time + 12, c) RETURNING * INTO b;
	RETURN b.hash;
END
$$;
CREATE SEQUENCE transactions;
CREATE SEQUENCE hashes;

-- One step towards a tip, as the follower does it; pieces are done twice or with a stale token now and then
CREATE FUNCTION refused(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN false;
EXCEPTION WHEN OTHERS THEN
	RETURN true;
END
$$;
CREATE FUNCTION read_on(tip text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	net int := (SELECT network_id FROM reconciler.networks WHERE network = 'main');
	k record;
	b chain_blocks;
	fork bigint;
	before bigint;
	block jsonb;
BEGIN
	SELECT * INTO k FROM reconciler.claim_cursor('w', net, '1 min', '1 s');
	IF k.token IS NULL THEN
		RETURN 'no lease';
	END IF;
	UPDATE reconciler.queue SET look_back_due = false WHERE look_back_due;
	UPDATE reconciler.queue SET seq = DEFAULT WHERE request_id LIKE 'all%';		-- behind the others
	IF k.hash IS NOT NULL AND NOT EXISTS (SELECT FROM canonical(tip) c WHERE c.hash = k.hash) THEN
		fork := (SELECT max(c.height) FROM canonical(tip) c JOIN jsonb_array_elements(k.recent) r ON r ->> 1 = c.hash);
		IF (SELECT height FROM chain_blocks WHERE hash = tip) < k.height THEN
			IF NOT refused(format('SELECT reconciler.undo_blocks(''w'', %s, %L, ''1 min'', %s, NULL, %s)', net, k.token, fork, (SELECT height FROM chain_blocks WHERE hash = tip))) THEN
				RETURN 'a lower chain took blocks back';
			END IF;
			PERFORM reconciler.release_cursor('w', net, k.token, true);
			RETURN NULL;
		END IF;
		PERFORM reconciler.undo_blocks('w', net, k.token, '1 min', fork, NULL, (SELECT height FROM chain_blocks WHERE hash = tip));
		k.height := fork;
	END IF;
	FOR b IN SELECT * FROM canonical(tip) c WHERE k.height IS NULL OR c.height > k.height ORDER BY c.height LOOP
		block := jsonb_build_object('height', b.height, 'hash', b.hash, 'previous', b.previous, 'time', b.time);
		IF k.height IS NOT NULL AND random() < 0.2 AND NOT (refused(format('SELECT reconciler.advance_cursor(''w'', %s, %L, ''1 min'', %L, %L)', net, k.token::text::bigint - 1, block, b.credits))
								   AND refused(format('SELECT reconciler.advance_cursor(''w'', %s, %L, ''1 min'', %L, %L)', net, k.token, block || '{"previous": "stale"}', b.credits))
								  ) THEN
			RETURN 'a stale token or hash wrote';
		END IF;
		PERFORM reconciler.advance_cursor('w', net, k.token, '1 min', block, b.credits);
		IF NOT refused(format('SELECT reconciler.advance_cursor(''w'', %s, %L, ''1 min'', %L, %L)', net, k.token, block, b.credits)) THEN
			RETURN 'a block was read twice';
		END IF;
		k.height := b.height;
	END LOOP;
	PERFORM reconciler.settle_network('w', net, k.token, true);
	RETURN NULL;
END
$$;

-- The audit. What must pay somebody: credits of canonical blocks to holders for whom there is a request that was open or watched all the time
CREATE FUNCTION audit() RETURNS TABLE (problem text) LANGUAGE sql STABLE SET jit = off AS $$
	WITH cursor AS (SELECT c.* FROM reconciler.cursors c),
	canon AS MATERIALIZED (SELECT b.* FROM cursor c, canonical(c.hash) b),
	events AS MATERIALIZED (SELECT b.height, b.hash, x ->> 0 AS txid, (x ->> 1)::int AS ordinal, decode(x ->> 2, 'hex') AS key, (x ->> 3)::numeric AS amount
			   FROM canon b, jsonb_array_elements(b.credits) x),
	live AS MATERIALIZED (SELECT p.* FROM reconciler.payments p WHERE p.gone_at IS NULL AND NOT p.unproven)
	SELECT format('missing: %s %s in %s', e.txid, e.ordinal, e.hash) FROM events e
	WHERE NOT EXISTS (SELECT FROM live p WHERE (p.txid, p.ordinal, p.block_hash, p.block_height, p.key, p.amount) = (e.txid, e.ordinal, e.hash, e.height, e.key, e.amount))
	UNION ALL
	SELECT format('not on the chain: %s %s in %s', p.txid, p.ordinal, p.block_hash) FROM live p
	WHERE NOT EXISTS (SELECT FROM events e WHERE (p.txid, p.ordinal, p.block_hash, p.key, p.amount) = (e.txid, e.ordinal, e.hash, e.key, e.amount))
	UNION ALL
	SELECT format('%s live rows of %s to %s, %s events', count(*), p.txid, encode(p.key, 'hex'), (SELECT count(*) FROM events e WHERE (e.txid, e.key) = (p.txid, p.key)))
	FROM live p GROUP BY p.txid, p.key HAVING count(*) <> (SELECT count(*) FROM events e WHERE (e.txid, e.key) = (p.txid, p.key))
	UNION ALL
	-- Of a transaction that paid a request nobody else gets anything by the same key
	SELECT format('%s pays %s of the same key', p.txid, string_agg(DISTINCT p.request_id, ', ')) FROM reconciler.payments p
	WHERE p.gone_at IS NULL GROUP BY p.txid, p.ordinal, p.key HAVING count(*) > 1
	UNION ALL
	SELECT format('%s is confirmed by %s', t.request_id, t.settled) FROM reconciler.transitions t JOIN bills b ON b.id = t.request_id
	WHERE t.reason = 'settled' AND t.settled < b.expected_amount_minor
	UNION ALL
	SELECT format('queue: %s has seen %s, not %s', q.request_id, q.seen, s.sum) FROM reconciler.queue q
	CROSS JOIN LATERAL (SELECT coalesce(sum(p.amount), 0) FROM live p WHERE p.request_id = q.request_id AND NOT p.late) s(sum)
	WHERE coalesce(q.seen, 0) <> s.sum
	UNION ALL
	-- A confirmed request of which blocks have too little has a report, another has none
	SELECT format('%s has %s of %s in blocks; reported: %s', b.id, s.sum, b.expected_amount_minor, u.request_id IS NOT NULL) FROM bills b
	CROSS JOIN LATERAL (SELECT coalesce(sum(p.amount), 0) FROM live p WHERE p.request_id = b.id AND NOT p.late) s(sum)
	LEFT JOIN reconciler.undone_confirmations u ON u.request_id = b.id AND u.restored_at IS NULL
	WHERE (b.status = 'confirmed' AND s.sum < b.expected_amount_minor) IS DISTINCT FROM (u.request_id IS NOT NULL)
	UNION ALL
	SELECT format('%s: %s of undone, %s of restored', u.request_id, e.undone, e.restored) FROM reconciler.undone_confirmations u
	CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE e.kind = 'confirmation.undone') AS undone, count(*) FILTER (WHERE e.kind = 'confirmation.restored') AS restored
						FROM reconciler.events e WHERE e.request_id = u.request_id) e
	WHERE e.undone - e.restored <> CASE WHEN u.restored_at IS NULL THEN 1 ELSE 0 END
	UNION ALL
	-- Confirmed payments, and no others, have been told of as such, in the block where they are
	SELECT format('%s %s in block %s of %s: confirmed %s, told %s times', p.txid, p.ordinal, p.block_height, c.settled_depth, p.confirmed, t.n) FROM live p, cursor c
	CROSS JOIN LATERAL (SELECT count(*) AS n FROM reconciler.events e WHERE e.kind = 'payment.confirmed' AND e.request_id = p.request_id
							AND e.payload ->> 'txid' = p.txid AND e.payload ->> 'block_hash' = p.block_hash) t
	WHERE (p.block_height <= c.settled_depth AND NOT p.confirmed) OR (p.confirmed AND t.n = 0)
$$;

CREATE FUNCTION run(nth int, steps int) RETURNS text LANGUAGE plpgsql SET client_min_messages = error SET log_min_messages = error AS $$
DECLARE
	seed int := nth + coalesce(nullif(current_setting('audit.seed', true), '')::int, 0);
	tip text;
	left_tip text;		-- of a branch that was left
	problem text;
	sums jsonb;
	at_tip text;
BEGIN
	PERFORM setseed(seed % 100000 / 100000.0);
	TRUNCATE bills, chain_blocks, reconciler.payments, reconciler.payment_changes, reconciler.watched, reconciler.undone_confirmations,
		reconciler.cursors, reconciler.cursor_blocks, reconciler.transitions;
	PERFORM reconciler.release_leases('ethereum', 'main');
	INSERT INTO chain_blocks VALUES ('genesis', 99, NULL, extract(epoch FROM now())::bigint - 100000, '[]');
	tip := 'genesis';
	-- One request for each holder that is never paid in full: it is open all the time
	INSERT INTO bills (id, address_canonical, token_contract, expected_amount_minor) SELECT 'all' || i, '0x' || holder(i), '0x' || holder(4096), 1e9 FROM generate_series(1, 6) i;
	FOR step IN 1 .. steps LOOP
		CASE floor(random() * 10)::int
			WHEN 0, 1 THEN
				INSERT INTO bills (id, address_canonical, token_contract, expected_amount_minor, expires_at)
				SELECT 'b' || step, '0x' || holder(h), '0x' || holder(4096), 100 * (1 + floor(random() * 6))::int, NULL FROM floor(1 + random() * 6) AS f(h0), LATERAL (SELECT f.h0::int AS h) g;
			WHEN 2 THEN		-- it ends by the application's hand
				UPDATE bills SET status = 'cancelled' WHERE id = (SELECT request_id FROM reconciler.queue WHERE request_id LIKE 'b%' ORDER BY random() LIMIT 1);
			WHEN 3 THEN		-- a fork, a few blocks down
				left_tip := tip;
				SELECT hash INTO tip FROM canonical(tip) c WHERE c.height > (SELECT height FROM chain_blocks WHERE hash = tip) - 1 - floor(random() * 8) ORDER BY c.height LIMIT 1;
				FOR i IN 1 .. floor(random() * 12)::int LOOP
					tip := mine(tip);
				END LOOP;
			WHEN 4 THEN		-- and back to a branch that was left
				IF left_tip IS NOT NULL THEN
					at_tip := tip;
					tip := left_tip;
					left_tip := at_tip;
				END IF;
			ELSE
				tip := mine(tip);
		END CASE;
		problem := read_on(tip);
		problem := coalesce(problem, (SELECT string_agg(a.problem, E'\n') FROM (SELECT * FROM audit() LIMIT 5) a));
		IF problem IS NOT NULL THEN
			RETURN format('seed %s, step %s: %s', seed, step, problem);
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;
SELECT run(n, 50) FROM generate_series(1, 3) n;
-- It has seen what it was to see
SELECT kind, count(*) > 0 AS seen FROM reconciler.events WHERE kind NOT IN ('request.detected', 'payment.late') GROUP BY 1 ORDER BY 1;
DROP EXTENSION reconciler CASCADE;
DROP TABLE bills, chain_blocks CASCADE;
DROP SEQUENCE transactions, hashes;
DROP FUNCTION holder(int), mine(text), refused(text), read_on(text), run(int, int);
