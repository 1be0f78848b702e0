-- An invoice that can be paid in one of several coins: one request for each coin,
-- and a trigger of the application's that closes the others when one is paid.
--
-- Two requests of one invoice may be confirmed at the same moment, by two workers
-- that each hold the row of theirs. Hence the order: first the invoice's row, which
-- decides who was first, then those siblings that nobody holds. Who waited for a
-- sibling's row while holding the invoice's could deadlock with the other.

CREATE TABLE invoices (
	id bigint PRIMARY KEY,
	paid_by bigint			-- the request that paid it; null: not paid
);

CREATE TABLE coin_requests (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	invoice_id bigint NOT NULL REFERENCES invoices,
	status text NOT NULL DEFAULT 'pending',
	chain text NOT NULL,
	network text NOT NULL,
	expected_amount_minor numeric(78, 0) NOT NULL,
	address_canonical text NOT NULL,
	token_contract text,
	expires_at timestamptz
);
CREATE INDEX ON coin_requests (invoice_id);

-- Paid more than once: two coins, both confirmed. To be paid back.
CREATE TABLE surplus_payments (
	request_id bigint PRIMARY KEY REFERENCES coin_requests,
	invoice_id bigint NOT NULL
);

CREATE FUNCTION close_siblings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE invoices SET paid_by = NEW.id WHERE id = NEW.invoice_id AND paid_by IS NULL;
	IF NOT FOUND THEN
		INSERT INTO surplus_payments VALUES (NEW.id, NEW.invoice_id) ON CONFLICT DO NOTHING;
		RETURN NULL;
	END IF;
	-- One that is locked is being changed right now: if it is confirmed, it is surplus,
	-- and if it isn't, it stays open, and what is paid to it is surplus, too.
	UPDATE coin_requests SET status = 'cancelled'
		WHERE id IN (SELECT s.id FROM coin_requests AS s
					 WHERE s.invoice_id = NEW.invoice_id AND s.id <> NEW.id AND s.status = 'pending'
					 FOR UPDATE SKIP LOCKED);
	RETURN NULL;
END $$;

CREATE TRIGGER close_siblings AFTER UPDATE ON coin_requests
	FOR EACH ROW WHEN (NEW.status = 'confirmed' AND OLD.status <> 'confirmed') EXECUTE FUNCTION close_siblings();

SELECT reconciler.attach('coin_requests');
