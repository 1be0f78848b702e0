-- Which keys blocks are read for, asked the other way round: from what a block pays.

CREATE FUNCTION follow_among(network_id int, candidates jsonb)
RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT c.key FROM jsonb_array_elements_text($2) AS c(key)
	WHERE EXISTS (SELECT FROM reconciler.queue AS q
				  WHERE q.network_id = $1 AND q.key = decode(c.key, 'hex') AND q.followed AND q.invalid IS NULL)
	   OR EXISTS (SELECT FROM reconciler.watched AS w
				  WHERE w.network_id = $1 AND w.key = decode(c.key, 'hex') AND w.until > clock_timestamp())
$$;

COMMENT ON FUNCTION follow_among(int, jsonb) IS
'Which of these keys, an array of hex, are among those that follow_keys lists: its cost does not grow with the number of open requests';
