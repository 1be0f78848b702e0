-- The shop's tables, with its own words and units. As the application's role, which
-- grant_app was called for; the network ethereum/local must be registered.

CREATE TABLE payment_requests (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	status text NOT NULL DEFAULT 'awaiting_payment'
		CHECK (status IN ('awaiting_payment', 'processing', 'paid', 'expired', 'cancelled')),
	amount numeric(38, 18) NOT NULL CHECK (amount > 0),		-- whole coins
	pay_to text NOT NULL,									-- an address of its own for each request
	expires_at timestamptz,
	received numeric(38, 18),								-- the last three are written by the reconciler
	paid_at timestamptz,
	transaction_id text,
	created_at timestamptz NOT NULL DEFAULT now()
);

-- What was shipped, once for each request
CREATE TABLE shipments (
	request_id bigint PRIMARY KEY REFERENCES payment_requests,
	shipped_at timestamptz NOT NULL DEFAULT now()
);

SELECT reconciler.attach('payment_requests',
	columns => '{
		"chain": "=ethereum", "network": "=local",
		"address_canonical": "pay_to",
		"expected_amount_minor": {"column": "amount", "decimals": 18},
		"received_amount_minor": {"column": "received", "decimals": 18},
		"paid_at": "paid_at", "transaction_id": "transaction_id"}',
	statuses => '{"pending": "awaiting_payment", "detected": "processing", "confirmed": "paid"}');
