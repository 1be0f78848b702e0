-- The state machine as a truth table: each status, answer, class of what was
-- paid, expiry and disappearance, with what comes of it
CREATE EXTENSION reconciler;

SELECT s.status, a.answer, p.paid, e.expired, g.gone, r.reason,
	   CASE WHEN r.reason IS NULL THEN s.status ELSE reconciler._status_after(r.reason) END AS becomes
FROM unnest('{pending,detected}'::text[]) WITH ORDINALITY AS s(status, i)
CROSS JOIN unnest('{observed,failed,none}'::text[]) WITH ORDINALITY AS a(answer, j)
CROSS JOIN unnest('{confirmed,detected,partial,some,nothing,NULL}'::text[]) WITH ORDINALITY AS p(paid, k)
CROSS JOIN unnest('{f,t,NULL}'::boolean[]) AS e(expired)
CROSS JOIN unnest('{f,t}'::boolean[]) AS g(gone)
CROSS JOIN LATERAL reconciler._transition(s.status, a.answer, p.paid, e.expired, g.gone) AS r(reason)
-- An answer without amounts has no class, and the other way round
WHERE (a.answer = 'observed') = (p.paid IS NOT NULL)
ORDER BY s.i, a.j, p.k, e.expired, g.gone;

-- Nothing but a failed look of an endpoint that was asked leads to unobserved,
-- and no payment that was detected is ever given up by it
SELECT count(*)
FROM unnest('{pending,detected}'::text[]) AS s(status)
CROSS JOIN unnest('{observed,failed,none}'::text[]) AS a(answer)
CROSS JOIN unnest('{confirmed,detected,partial,some,nothing,NULL}'::text[]) AS p(paid)
CROSS JOIN unnest('{f,t,NULL}'::boolean[]) AS e(expired)
CROSS JOIN unnest('{f,t,NULL}'::boolean[]) AS g(gone)
CROSS JOIN LATERAL reconciler._transition(s.status, a.answer, p.paid, e.expired, g.gone) AS r(reason)
WHERE (r.reason = 'unobserved' AND (a.answer <> 'failed' OR s.status <> 'pending' OR e.expired IS NOT TRUE))
   OR (a.answer = 'none' AND r.reason IS NOT NULL)
   OR (a.answer = 'observed' AND p.paid IS NULL AND r.reason IS NOT NULL)
   OR (r.reason = 'settled' AND p.paid IS DISTINCT FROM 'confirmed')
   OR (reconciler._status_after(r.reason) = 'expired' AND r.reason IS NOT NULL AND e.expired IS NOT TRUE);

-- Classes: of 1,000 expected with thresholds of 50 % and 90 %, of the same
-- threshold twice, of an amount that doesn't divide, of any amount
SELECT c.expected, c.detected_bps, c.confirmed_bps, c.seen, c.settled,
	   reconciler._paid(c.expected, c.seen, c.settled, c.detected_bps, c.confirmed_bps) AS paid
FROM (VALUES (1000, 5000, 9000, 0, 0), (1000, 5000, 9000, 1, 0), (1000, 5000, 9000, 499, 499), (1000, 5000, 9000, 500, 0),
			 (1000, 5000, 9000, 0, 500), (1000, 5000, 9000, 2000, 899), (1000, 5000, 9000, 0, 900),
			 (1000, 10000, 10000, 999, 999), (1000, 10000, 10000, 1000, 999), (1000, 10000, 10000, 0, 1000),
			 (3, 5000, 10000, 1, 0), (3, 5000, 10000, 2, 0),
			 (NULL, 5000, 9000, 0, 0), (NULL, 5000, 9000, 1, 0), (NULL, 5000, 9000, 1, 1),
			 (1000, 5000, 9000, NULL, NULL), (1000, 5000, 9000, 1000, NULL)) AS c(expected, detected_bps, confirmed_bps, seen, settled);

-- Expiry: of what was observed by both clocks, of what failed and of a part after the grace
SELECT e.expires_at, a.answer, a.paid, c.chain_time,
	   reconciler._expired(e.expires_at, a.answer, a.paid, '2026-01-01 12:00+00', c.chain_time, '1 hour') AS expired
FROM unnest(ARRAY['2026-01-01 11:00+00', '2026-01-01 11:59+00', '2026-01-01 12:00+00', '2026-01-01 12:01+00', NULL]::timestamptz[]) AS e(expires_at)
CROSS JOIN (VALUES ('observed', 'nothing'), ('observed', 'partial'), ('failed', NULL)) AS a(answer, paid)
CROSS JOIN unnest(ARRAY['2026-01-01 11:59+00', '2027-01-01 00:00+00', NULL]::timestamptz[]) AS c(chain_time)
ORDER BY 1, 2 DESC, 3, 4;

-- Gone: missing for as many blocks as would have confirmed it
SELECT b.paid_before, b.paid, h.tip_height, w.heights_grow, reconciler._gone(b.paid_before, b.paid, 100, h.tip_height, 3, w.heights_grow) AS gone
FROM (VALUES (1, 'confirmed', 'nothing'), (2, 'detected', 'nothing'), (3, 'detected', 'partial'), (4, 'partial', 'partial'),
			 (5, 'partial', 'nothing'), (6, 'some', 'some'), (7, 'nothing', 'nothing'), (8, NULL, 'nothing')) AS b(i, paid_before, paid)
CROSS JOIN unnest('{99,101,102,NULL}'::bigint[]) AS h(tip_height)
CROSS JOIN unnest('{t,f}'::boolean[]) AS w(heights_grow)
ORDER BY b.i, h.tip_height, w.heights_grow DESC;

-- Thresholds: rounded up, and never 0
SELECT t.expected, t.bps, reconciler._threshold(t.expected, t.bps)
FROM (VALUES (NULL, 5000), (0, 5000), (0, 10000), (1, 1), (3, 5000), (9999, 10000), (10000, 1), (10001, 1), (10000, 9999), (20000, 10000)) AS t(expected, bps);

-- Over, whatever its status says: what was confirmed, and what expired unless it got a later expires_at
SELECT t.to_status, t.reason, e.expires_at,
	   reconciler._is_over(t.to_status, t.reason, '2026-01-01 12:00+00', e.expires_at) AS over
FROM (VALUES ('pending', 'gone'), ('pending', 'reopened'), ('detected', 'seen'), ('detected', 'settled'), ('pending', 'settled'),
			 ('confirmed', 'settled'), ('expired', 'unpaid')) AS t(to_status, reason)
CROSS JOIN unnest('{2026-01-01 11:59+00,2026-01-01 12:00+00,2026-01-01 12:01+00,NULL}'::timestamptz[]) AS e(expires_at)
ORDER BY 1, 2, 3;

-- Told once more what is known already: what would change the status as it is
SELECT s.status, p.paid, reconciler._known_is_due(s.status, e.expires_at, p.paid) AS due_with_expiry,
	   reconciler._known_is_due(s.status, NULL, p.paid) AS due_without
FROM unnest('{pending,detected}'::text[]) WITH ORDINALITY AS s(status, i)
CROSS JOIN unnest('{confirmed,detected,partial,some,nothing,NULL}'::text[]) WITH ORDINALITY AS p(paid, k)
CROSS JOIN (VALUES ('2026-01-01 12:00+00'::timestamptz)) AS e(expires_at)
ORDER BY s.i, p.k;

DROP EXTENSION reconciler;
