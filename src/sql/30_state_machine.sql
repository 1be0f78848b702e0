-- The state machine: when an open request changes its status.

CREATE FUNCTION _threshold(expected numeric, bps int)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN expected IS NULL THEN 1
				ELSE greatest(pg_catalog.div(expected * bps + 9999, 10000), 1) END
$$;

COMMENT ON FUNCTION _threshold(numeric, int) IS
'ceil(expected * bps / 10000), at least 1 minor unit; null expects anything above 0';

CREATE FUNCTION _verdict(status text, expected numeric, expires_at timestamptz,
	seen numeric, settled numeric, failed boolean, detected_bps int, confirmed_bps int,
	looked_at timestamptz, chain_time timestamptz, grace interval)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
	SELECT CASE
		-- A payment that was seen is not given up because nobody can look.
		WHEN failed OR seen IS NULL OR settled IS NULL THEN
			CASE WHEN status = 'pending' AND expires_at <= looked_at - grace THEN 'unobserved' END
		WHEN settled >= reconciler._threshold(expected, confirmed_bps) THEN 'settled'
		-- What is there at depth but no longer at the tip was paid, and moved on.
		WHEN greatest(seen, settled) >= reconciler._threshold(expected, detected_bps) THEN
			CASE WHEN status = 'pending' THEN 'seen' END
		WHEN expires_at <= least(looked_at, chain_time) THEN
			CASE WHEN status = 'detected' THEN 'vanished'
				 WHEN greatest(seen, settled) > 0 THEN 'underpaid'
				 ELSE 'unpaid' END
	END
$$;

COMMENT ON FUNCTION _verdict(text, numeric, timestamptz, numeric, numeric, boolean, int, int, timestamptz, timestamptz, interval) IS
'The state machine: the reason for which an open request changes its status after a look, or null. looked_at: the look began at or after it, by the database''s clock; chain_time: the time of the observed tip, null where it proves nothing';

CREATE FUNCTION _status_after(reason text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE reason WHEN 'seen' THEN 'detected' WHEN 'settled' THEN 'confirmed' ELSE 'expired' END
$$;

COMMENT ON FUNCTION _status_after(text) IS 'The status that a transition with this reason leads to';
