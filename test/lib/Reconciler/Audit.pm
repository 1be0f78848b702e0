# A record of every lease, kept by a trigger on reconciler.batches that belongs
# to the test, and the questions that must all be answered by 0.
package Reconciler::Audit;

use strict;
use warnings;

# SQL that installs it (as a superuser)
sub install
{
	return <<'SQL';
CREATE SCHEMA audit;

-- One row per lease and range. A lease ends when it is given back, when its
-- range changes (the rest is a row of its own) or when its time is over; not
-- when another takes or removes the batch before that.
CREATE TABLE audit.leases (
	network_id int NOT NULL,
	lo bigint NOT NULL,
	hi bigint NOT NULL,
	token text NOT NULL,
	owner text NOT NULL,
	started_at timestamptz NOT NULL,
	lease_until timestamptz NOT NULL,
	ended_at timestamptz
);
CREATE INDEX ON audit.leases (token, lo);

-- Empty again after a crash, as reconciler.batches is: the leases of before are over
CREATE UNLOGGED TABLE audit.life (id int PRIMARY KEY);
INSERT INTO audit.life VALUES (1);

CREATE FUNCTION audit.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	was_leased boolean := TG_OP <> 'INSERT' AND OLD.lease_owner IS NOT NULL AND OLD.lease_until IS NOT NULL;
	is_leased boolean := TG_OP <> 'DELETE' AND NEW.lease_owner IS NOT NULL AND NEW.lease_until IS NOT NULL;
	given_back boolean;
	moment timestamptz := clock_timestamp();
BEGIN
	IF was_leased AND is_leased AND (OLD.lo, OLD.hi, OLD.lease_token) = (NEW.lo, NEW.hi, NEW.lease_token) THEN
		IF OLD.lease_until <> NEW.lease_until THEN
			UPDATE audit.leases SET lease_until = NEW.lease_until
			 WHERE token = NEW.lease_token::text AND lo = NEW.lo AND ended_at IS NULL;
		END IF;
		RETURN NULL;
	END IF;
	IF was_leased THEN
		given_back := TG_OP = 'UPDATE' AND (NOT is_leased OR NEW.lease_token = OLD.lease_token);
		UPDATE audit.leases SET ended_at = CASE WHEN given_back THEN least(moment, lease_until) ELSE lease_until END
		 WHERE token = OLD.lease_token::text AND lo = OLD.lo AND ended_at IS NULL;
	END IF;
	IF is_leased THEN
		IF NOT EXISTS (SELECT FROM audit.life) THEN
			INSERT INTO audit.life VALUES (1) ON CONFLICT DO NOTHING;
			IF FOUND THEN
				UPDATE audit.leases SET ended_at = least(moment, lease_until) WHERE ended_at IS NULL;
			END IF;
		END IF;
		INSERT INTO audit.leases
		VALUES (NEW.network_id, NEW.lo, NEW.hi, NEW.lease_token::text, NEW.lease_owner, moment, NEW.lease_until);
	END IF;
	RETURN NULL;
END $$;

CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON reconciler.batches
	FOR EACH ROW EXECUTE FUNCTION audit.record();

-- Pairs of leases that had a seq in common at the same time
CREATE FUNCTION audit.overlaps() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	pairs bigint;
BEGIN
	CREATE TEMP TABLE span ON COMMIT DROP AS
	SELECT network_id, token, int8range(lo, hi) AS seqs,
	       tstzrange(started_at, greatest(started_at, coalesce(ended_at, lease_until))) AS period
	  FROM audit.leases;
	CREATE INDEX ON span USING gist (period, seqs);
	ANALYZE span;
	SELECT count(*) INTO pairs
	  FROM span a
	  JOIN span b ON a.network_id = b.network_id AND a.token < b.token AND a.seqs && b.seqs AND a.period && b.period;
	RETURN pairs;
END $$;

-- Requests that came to the same status more than once without being pending again in between
CREATE VIEW audit.duplicate_transitions AS
SELECT source, request_id, to_status, count(*)
  FROM (SELECT *, count(*) FILTER (WHERE to_status = 'pending') OVER (PARTITION BY source, request_id ORDER BY transition_id) AS times_reset
          FROM reconciler.transitions) t
 GROUP BY source, request_id, to_status, times_reset
HAVING count(*) > 1;

-- Steps that don't start where the one before ended, and steps out of a terminal status
CREATE VIEW audit.contradictions AS
SELECT *
  FROM (SELECT source, request_id, from_status, to_status,
               lag(to_status) OVER (PARTITION BY source, request_id ORDER BY transition_id) AS previous
          FROM reconciler.transitions) step
 WHERE previous IS DISTINCT FROM from_status AND previous IS NOT NULL
    OR from_status NOT IN ('pending', 'detected');
SQL
}

# session: a Reconciler::Session
sub report
{
	my ($session) = @_;
	my ($counts) = $session->query(
		'SELECT (SELECT count(DISTINCT token) FROM audit.leases), (SELECT count(DISTINCT owner) FROM audit.leases),'
		  . ' audit.overlaps(), (SELECT count(*) FROM audit.duplicate_transitions), (SELECT count(*) FROM audit.contradictions)');
	my %report;
	@report{qw(leases workers overlaps duplicate_transitions contradictions)} = @$counts;
	return \%report;
}

1;
