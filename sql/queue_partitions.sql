-- What a session knows of partitions doesn't grow with the changes of their definition.
CREATE EXTENSION reconciler;
CREATE TABLE parts (id int PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	status text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa') PARTITION BY HASH (id);
CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT reconciler.attach('parts', allow_superuser_owner => true) > 0 AS attached;
DO $$
BEGIN
	FOR i IN 1 .. 500 LOOP
		EXECUTE format('ALTER TABLE part SET (fillfactor = %s)', 50 + i % 40);
		INSERT INTO parts (id) VALUES (i);
	END LOOP;
END
$$;
SELECT count(*) FROM reconciler.queue;
SELECT sum(used_bytes) < 32768 AS small FROM pg_backend_memory_contexts
WHERE name IN ('reconciler facts', 'reconciler partitions');
DROP TABLE parts;
DROP EXTENSION reconciler;
