-- Networks: registering, changing and removing them; what workers are given.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;

-- Defaults
SELECT reconciler.add_network('ethereum', 'mainnet', ARRAY['https://user:pa55word@node.example:8545/v3/0123456789abcdef?key=s3cret'], 1) > 0 AS added;
SELECT reconciler.add_network(chain => 'ethereum', network => 'local', endpoints => ARRAY['http://127.0.0.1:8545'], chain_id => 31337) > 0 AS added;
SELECT reconciler.add_network('bitcoin', 'mainnet', ARRAY['https://esplora.example/api'], kind => 'esplora') > 0 AS added;
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind') > 0 AS added;
SELECT chain, network, kind, chain_id, confirmations, detected_bps, confirmed_bps, max_tip_age, enabled, endpoints
FROM reconciler.network_settings ORDER BY network_id;

-- No view shows a secret
SELECT count(*) AS secrets FROM reconciler.network_settings s WHERE s::text ~ 'user|pa55word|0123456789abcdef|s3cret';
SELECT count(*) AS secrets FROM reconciler.stat_endpoints s WHERE s::text ~ 'user|pa55word|0123456789abcdef|s3cret';

-- Bad arguments: what is wrong, and what to do
SELECT reconciler.add_network('ethereum', 'sepolia');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
SELECT reconciler.add_network('', 'x', chain_id => 1);
SELECT reconciler.add_network('a', 'b', ARRAY['ftp://node/s3cret'], 1);
SELECT reconciler.add_network('a', 'b', ARRAY['http://node', NULL], 1);
SELECT reconciler.add_network('a', 'b', chain_id => 0);
SELECT reconciler.add_network('a', 'b', kind => 'solana');
SELECT reconciler.add_network('a', 'b', kind => 'none');
SELECT reconciler.add_network('a', 'b', kind => 'esplora', chain_id => 1);
SELECT reconciler.add_network('a', 'b', chain_id => 1, block_tag => 'latest');
SELECT reconciler.add_network('a', 'b', chain_id => 1, confirmations => 0);
SELECT reconciler.add_network('a', 'b', chain_id => 1, detected_bps => 9000, confirmed_bps => 8000);
SELECT reconciler.add_network('a', 'b', chain_id => 1, confirmed_bps => 10001);
SELECT reconciler.add_network('a', 'b', chain_id => 1, batch_size => 741);
SELECT reconciler.add_network('a', 'b', chain_id => 1, poll_interval => '1 ms');
SELECT reconciler.add_network('a', 'b', chain_id => 1, lease_duration => '999 ms');
SELECT reconciler.add_network('a', 'b', chain_id => 1, expiry_grace => '-1 s');
SELECT reconciler.add_network('a', 'b', chain_id => 1, rate_limit => 0);
SELECT reconciler.set_network('a', 'b', confirmations => 3);
SELECT reconciler.remove_network('a', 'b');
SELECT reconciler.remove_network('', '');

-- Changes leave alone what isn't named; reset goes back to the setting
SELECT reconciler.set_network('ethereum', 'local', confirmations => 3, poll_interval => '2 s', confirmed_bps => 9900, detected_bps => 5000);
SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['http://127.0.0.1:8546', 'http://127.0.0.1:8547']);
SELECT confirmations, poll_interval, detected_bps, confirmed_bps, endpoints FROM reconciler.networks WHERE network = 'local';
SELECT reconciler.set_network('ethereum', 'local', reset => '{poll_interval}');
SELECT reconciler.set_network('ethereum', 'local', reset => '{endpoints}');
SELECT reconciler.set_network('ethereum', 'local', kind => 'esplora');

-- What workers get: override, network, setting
SELECT chain, network, kind, chain_id, confirmations, batch_size, poll_interval_ms, lease_ms, request_timeout_ms
FROM reconciler.worker_networks('w') ORDER BY network_id;
SELECT reconciler.set_network('ethereum', 'local', batch_size => 50, poll_interval => '1.5 s', lease_duration => '1 min', request_timeout => '250 ms');
SELECT batch_size, poll_interval_ms, lease_ms, request_timeout_ms FROM reconciler.worker_networks('w') WHERE network = 'local';
SELECT batch_size, poll_interval_ms, lease_ms FROM reconciler.worker_networks('w', 10, '2 s', '300 ms') WHERE network = 'local';
SELECT fingerprint AS old_version, endpoints FROM reconciler.worker_networks('w') WHERE network = 'local' \gset
SELECT fingerprint = :'old_version' AS same FROM reconciler.worker_networks('w') WHERE network = 'local';
SELECT reconciler.set_network('ethereum', 'local', confirmations => 4);
SELECT fingerprint = :'old_version' AS same FROM reconciler.worker_networks('w') WHERE network = 'local';
SELECT reconciler.set_network('ethereum', 'mainnet', enabled => false);
SELECT chain, network FROM reconciler.worker_networks('w') ORDER BY network_id;

-- A worker that brings its own endpoints
SELECT reconciler.register_network('evm', 'ethereum', 'local', 31337) = network_id AS known FROM reconciler.networks WHERE network = 'local';
SELECT reconciler.register_network('evm', 'base', 'mainnet', 8453) = reconciler.register_network('evm', 'base', 'mainnet', 8453) AS once;
SELECT kind, endpoints, chain_id, confirmations FROM reconciler.networks WHERE chain = 'base';
SELECT reconciler.register_network('solana', 'solana', 'mainnet', NULL);

-- Requests of a network that isn't registered yet wait for it, in their order
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric,
	address_canonical text, token_contract text);
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r VALUES
	(1, 'pending', 'polygon', 'amoy', 5, '0x00000000000000000000000000000000000000aa'),
	(2, 'pending', 'polygon', 'amoy', 5, 'nonsense'),
	(3, 'pending', 'polygon', 'amoy', -5, '0x00000000000000000000000000000000000000aa'),
	(4, 'pending', 'polygon', 'other', 5, '0x00000000000000000000000000000000000000aa'),
	(5, 'pending', NULL, NULL, 5, '0x00000000000000000000000000000000000000aa');
SELECT request_id, network_id, chain, network, invalid FROM reconciler.queue ORDER BY seq;
SELECT chain, network, open_requests, invalid_requests FROM reconciler.stat_networks WHERE open_requests > 0;
SELECT 1 AS listed FROM reconciler.worker_networks('w') WHERE network_id = 0;
SELECT reconciler.add_network('polygon', 'amoy', chain_id => 80002) AS net \gset
SELECT request_id, network_id = :net AS moved, chain, network, invalid FROM reconciler.queue ORDER BY seq;

-- One that was late: its transaction didn't see the registration
UPDATE reconciler.queue SET network_id = 0, chain = 'polygon', network = 'amoy' WHERE request_id = '1';
SELECT reconciler._adopt_requests(), reconciler._adopt_requests() AS again;

-- Another chain: what was seen of the old one doesn't count
UPDATE reconciler.queue SET seen = 4, settled = 4 WHERE request_id = '1';
SELECT seq AS old_seq FROM reconciler.queue WHERE request_id = '1' \gset
SELECT reconciler.set_network('polygon', 'amoy', chain_id => 137);
SELECT seq > :old_seq AS anew, seen, settled FROM reconciler.queue WHERE request_id = '1';

-- Removed: its requests wait again, and its leases are lost
SELECT count(*) > 0 AS claimed FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s');
SELECT reconciler.remove_network('polygon', 'amoy');
SELECT request_id, network_id, chain, network, invalid FROM reconciler.queue ORDER BY request_id;
SELECT count(*) AS batches FROM reconciler.batches WHERE network_id = :net;
DROP TABLE r;
DROP EXTENSION reconciler;
