-- What a block source asks for whom to read blocks: keys a page at a time, and which of some keys are wanted.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, tokens => 'logs') AS net \gset
CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('bills', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO bills (id, address_canonical, token_contract)
SELECT 'r' || i, '0x' || lpad(to_hex(i / 2), 40, 'a'), CASE WHEN i < 2000 THEN '0x' || lpad('', 40, 'b') END
FROM generate_series(2, 2010) i;

SELECT followed, invalid, count(key), count(*) FROM reconciler.queue GROUP BY 1, 2 ORDER BY 1, 2;
-- Each key once, page by page; coins are not followed
CREATE FUNCTION pages(net int, most int) RETURNS TABLE (pages int, keys bigint, differing bigint, ordered boolean) LANGUAGE plpgsql AS $$
DECLARE
	v_all text[] := '{}';
	v_page text[];
BEGIN
	pages := 0;
	LOOP
		v_page := ARRAY(SELECT k FROM reconciler.follow_keys(net, v_all[cardinality(v_all)], most) k);
		EXIT WHEN v_page = '{}';
		v_all := v_all || v_page;
		pages := pages + 1;
	END LOOP;
	RETURN QUERY SELECT pages, count(*), count(DISTINCT k), v_all = ARRAY(SELECT x FROM unnest(v_all) x ORDER BY x COLLATE "C") FROM unnest(v_all) k;
END $$;
SELECT * FROM pages(:net, 100);
SELECT * FROM pages(:net, 999);

-- Candidates: wanted, another token, the coin, nobody, no key
SELECT reconciler.follow_among(:net, jsonb_build_array(
	lpad('', 40, 'b') || lpad('1', 40, 'a'), lpad('', 40, 'c') || lpad('1', 40, 'a'),
	lpad('', 40, '0') || lpad('3ea', 40, 'a'), lpad('', 40, 'b') || lpad('ffff', 40, 'a'), '')) AS key;
SELECT count(*) FROM reconciler.follow_among(:net, '[]');
SELECT count(*) FROM reconciler.follow_among(:net + 1, jsonb_build_array(lpad('', 40, 'b') || lpad('1', 40, 'a')));

DROP EXTENSION reconciler CASCADE;
DROP TABLE bills;
DROP FUNCTION pages;
