-- The rate limit of a network, which all workers share.

-- Until when the requests that workers have reserved use up a network's rate limit
CREATE UNLOGGED TABLE budgets (
	network_id int PRIMARY KEY,
	spent_until timestamptz NOT NULL
) WITH (fillfactor = 40);

COMMENT ON TABLE budgets IS 'How much of their rate_limit networks have used up';

CREATE FUNCTION take_budget(network_id int, n int)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
DECLARE
	v_rate numeric := (SELECT x.rate_limit FROM reconciler.networks x WHERE x.network_id = take_budget.network_id);
	v_now timestamptz;
	v_start timestamptz;
BEGIN
	IF take_budget.n > 10000 THEN
		RAISE EXCEPTION 'n must be at most 10000' USING ERRCODE = 'invalid_parameter_value', HINT = 'Take it in parts.';
	END IF;
	IF v_rate IS NULL OR take_budget.n IS NULL OR take_budget.n <= 0 THEN
		RETURN 0;
	END IF;
	INSERT INTO reconciler.budgets (network_id, spent_until) VALUES (take_budget.network_id, '-infinity')
	ON CONFLICT DO NOTHING;
	SELECT b.spent_until INTO v_start FROM reconciler.budgets b
	WHERE b.network_id = take_budget.network_id FOR UPDATE;
	v_now := clock_timestamp();
	v_start := greatest(v_start, v_now);
	UPDATE reconciler.budgets b
	-- Nobody can use up more than the next hour.
	SET spent_until = least(v_start + least(take_budget.n / v_rate, 86400)::double precision * interval '1 second',
							v_now + interval '1 hour')
	WHERE b.network_id = take_budget.network_id;
	RETURN ceil(extract(epoch FROM least(v_start - v_now, interval '1 day')) * 1000);
END
$$;

COMMENT ON FUNCTION take_budget(int, int) IS
'Reserves n HTTP requests of a network''s rate_limit, which all workers share; returns the milliseconds after which the first of them may be sent (the others at the rate). 0 where there is no limit. No more than an hour is ever reserved';
