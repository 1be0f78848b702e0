-- The state machine: when an open request changes its status.
--
-- A look at a request has one of three answers:
--   observed  both amounts are known
--   failed    an endpoint was asked, and could not say
--   none      nobody was asked, or what came must not be believed
-- What was observed is put into a class, by the thresholds of the network:
--   confirmed  at the confirmation depth there is enough
--   detected   there is enough to be confirmed, but not at the depth yet
--   partial    there is enough to be detected, but not to be confirmed
--   some       there is less
--   nothing    there is nothing
--
--   status    answer    paid           expired  gone  | reason      new status
--   --------  --------  -------------  -------  ----  | ----------  ----------
--   any       observed  confirmed      any      any   | settled     confirmed
--   pending   observed  det., partial  any      any   | seen        detected
--   detected  observed  partial        yes      yes   | underpaid   expired
--   pending   observed  some           yes      any   | underpaid   expired
--   pending   observed  nothing        yes      any   | unpaid      expired
--   detected  observed  some, nothing  yes      yes   | vanished    expired
--   detected  observed  some, nothing  never    yes   | gone        pending
--   pending   failed    any            yes      any   | unobserved  expired
--   in every other case                               | (none)      as it was
--
-- expired: of what was observed, the request's time was over by the clocks of
-- both database and chain; of what failed, and of a partial payment, whose rest
-- may be on its way, it was over for longer than the grace (and looks had failed
-- for as long: see _failed_enough). never: the request has
-- no expires_at. It would wait for ever as detected, and a payment that comes back
-- would not be noticed if it ended: so it is pending again.
-- gone: what had been there is missing for as many blocks as would have confirmed
-- it; of a partial payment: the rest is. A reorganised transaction is usually mined again in the next block.

CREATE FUNCTION _threshold(expected numeric, bps int)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN expected IS NULL THEN 1
				ELSE greatest(pg_catalog.div(expected * bps + 9999, 10000), 1) END
$$;

COMMENT ON FUNCTION _threshold(numeric, int) IS
'ceil(expected * bps / 10000), at least 1 minor unit; null expects anything above 0';

-- The last transition's word. Without SET it is inlined, hence the operators' schema.
CREATE FUNCTION _is_over(to_status text, reason text, at timestamptz, expires_at timestamptz)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT to_status OPERATOR(pg_catalog.<>) ALL (ARRAY['pending', 'detected'])
		AND (reason OPERATOR(pg_catalog.=) 'settled' OR coalesce(expires_at OPERATOR(pg_catalog.<=) at, false))
$$;

COMMENT ON FUNCTION _is_over(text, text, timestamptz, timestamptz) IS
'Is a request not to be observed again, whatever its status says? Its last transition confirmed it, or made it expire and it got no later expires_at since';

CREATE FUNCTION _paid(expected numeric, seen numeric, settled numeric, detected_bps int, confirmed_bps int)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	-- What is there at the depth but no longer at the tip was paid, and moved on.
	SELECT CASE WHEN seen IS NULL OR settled IS NULL THEN NULL
				WHEN settled >= reconciler._threshold(expected, confirmed_bps) THEN 'confirmed'
				WHEN greatest(seen, settled) >= reconciler._threshold(expected, confirmed_bps) THEN 'detected'
				WHEN greatest(seen, settled) >= reconciler._threshold(expected, detected_bps) THEN 'partial'
				WHEN greatest(seen, settled) > 0 THEN 'some'
				ELSE 'nothing' END
$$;

COMMENT ON FUNCTION _paid(numeric, numeric, numeric, int, int) IS
'The class of what was observed: confirmed, detected, partial, some or nothing; null: never observed';

CREATE FUNCTION _expired(expires_at timestamptz, answer text, paid text, looked_at timestamptz, chain_time timestamptz, grace interval)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN answer = 'observed' AND paid = 'partial' THEN expires_at <= least(looked_at, chain_time) - grace
				WHEN answer = 'observed' THEN expires_at <= least(looked_at, chain_time)
				ELSE expires_at <= looked_at - grace END
$$;

COMMENT ON FUNCTION _expired(timestamptz, text, text, timestamptz, timestamptz, interval) IS
'Whether a request has expired as far as this answer can tell; null: it never does. looked_at: the look began at or after it, by the database''s clock; chain_time: the time of the observed tip, null where it proves nothing';

CREATE FUNCTION _gone(paid_before text, paid text, before_height bigint, tip_height bigint, confirmations int, heights_grow boolean)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT coalesce((paid_before IN ('nothing', 'some') OR (paid_before = 'partial' AND paid = 'partial'))
					AND (NOT heights_grow OR tip_height >= before_height + confirmations - 1), false)
$$;

COMMENT ON FUNCTION _gone(text, text, bigint, bigint, int, boolean) IS
'Whether a payment that was detected is missing for good: it was missing before, at before_height, and since then as many blocks came as would have confirmed it. heights_grow false: a chain whose heights prove nothing';

CREATE FUNCTION _transition(status text, answer text, paid text, expired boolean, gone boolean)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE
		WHEN answer = 'observed' THEN
			CASE WHEN paid = 'confirmed' THEN 'settled'
				 WHEN paid IN ('detected', 'partial') AND status = 'pending' THEN 'seen'
				 WHEN status = 'detected' AND gone AND paid IN ('some', 'nothing') AND expired IS NULL THEN 'gone'
				 WHEN expired IS NOT TRUE THEN NULL
				 WHEN paid = 'partial' THEN CASE WHEN gone THEN 'underpaid' END
				 WHEN status = 'detected' THEN CASE WHEN gone AND paid IN ('some', 'nothing') THEN 'vanished' END
				 WHEN paid = 'some' THEN 'underpaid'
				 WHEN paid = 'nothing' THEN 'unpaid' END
		-- A payment that was seen is not given up because nobody can look.
		WHEN answer = 'failed' AND expired AND status = 'pending' THEN 'unobserved'
	END
$$;

COMMENT ON FUNCTION _transition(text, text, text, boolean, boolean) IS
'The state machine: the reason for which an open request changes its status after a look, or null';

CREATE FUNCTION _known_is_due(status text, expires_at timestamptz, paid text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT reconciler._transition(status, 'observed', paid, false, NULL) IS NOT NULL
		OR (status = 'detected' AND expires_at IS NULL AND coalesce(paid IN ('some', 'nothing'), false))
$$;

COMMENT ON FUNCTION _known_is_due(text, timestamptz, text) IS
'Whether settle wants to be told once more what is known already of a request';

CREATE FUNCTION _status_after(reason text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE reason WHEN 'seen' THEN 'detected' WHEN 'settled' THEN 'confirmed' WHEN 'gone' THEN 'pending' ELSE 'expired' END
$$;

COMMENT ON FUNCTION _status_after(text) IS 'The status that a transition with this reason leads to';
