-- The schema is the extension's own, so that it goes with it; CREATE EXTENSION
-- would make one that stays. That it is new also means that nobody else has put
-- anything into it.
CREATE SCHEMA reconciler;
SELECT pg_catalog.set_config('search_path', 'reconciler, pg_temp', true);
