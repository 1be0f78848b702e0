# Chaos, and an independent audit of what came of it.
#
#   Reconciler::Chaos::run(seconds => 60);
#
# One server with workers and two daemons; one chain that is followed as one network (tokens by logs, coins by
# blocks) and looked at by balances as another one, through proxies. While an application inserts, changes, cancels,
# deletes and reopens requests, and payers pay, chance kills processes, stops the server, suspends the chain,
# reorganises it, and cuts, delays and refuses answers. Then all of it stops, and what the reconciler says is
# compared with all blocks of the chain, which the audit reads by itself.
package Reconciler::Chaos;

use strict;
use warnings;

use Math::BigInt;
use Test::More;
use Time::HiRes qw(sleep time);

use Reconciler::Audit;
use Reconciler::Daemon;
use Reconciler::Evm qw(%code word address_word);
use Reconciler::Test;

my $confirmations = 4;
my $transfer = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';

# What the audit needs to know of requests: every version of a row, and who wrote it. Leases of cursors are
# checked as they are taken, those of batches by Reconciler::Audit.
my $records = <<'SQL';
CREATE TABLE audit.versions (
	version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id text NOT NULL,
	what text NOT NULL,
	by_application boolean NOT NULL,
	status_before text,
	status text,
	amount numeric,
	address text,
	token text,
	expires_at timestamptz
);
CREATE INDEX ON audit.versions (id, version);
CREATE FUNCTION audit.note_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO audit.versions (id, what, by_application, status_before, status, amount, address, token, expires_at)
	VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, TG_OP, coalesce(current_setting('chaos.application', true), '') = 'yes',
		CASE WHEN TG_OP <> 'INSERT' THEN OLD.status END, NEW.status, NEW.expected_amount_minor, NEW.address_canonical,
		NEW.token_contract, NEW.expires_at);
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON payment_requests FOR EACH ROW EXECUTE FUNCTION audit.note_version();

CREATE TABLE audit.claims (requests bigint NOT NULL);
CREATE FUNCTION audit.note_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO audit.claims VALUES (NEW.requests);
	RETURN NULL;
END $$;
CREATE TRIGGER claim AFTER UPDATE ON reconciler.batches FOR EACH ROW
	WHEN (NEW.lease_token IS DISTINCT FROM OLD.lease_token AND NEW.lease_owner IS NOT NULL AND NEW.requests > 0) EXECUTE FUNCTION audit.note_claim();

CREATE TABLE audit.cursor_claims (at timestamptz NOT NULL, network_id int NOT NULL, owner text NOT NULL, overlapped boolean NOT NULL);
CREATE FUNCTION audit.note_cursor() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO audit.cursor_claims
	VALUES (clock_timestamp(), NEW.network_id, NEW.lease_owner,
		coalesce(OLD.lease_owner IS NOT NULL AND OLD.lease_until > clock_timestamp(), false));
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON reconciler.cursor_leases FOR EACH ROW
	WHEN (NEW.lease_token IS DISTINCT FROM OLD.lease_token AND NEW.lease_owner IS NOT NULL) EXECUTE FUNCTION audit.note_cursor();
SQL

sub _any { my (@of) = @_; return $of[ rand @of ] }

# Options: seconds
sub run
{
	my (%options) = @_;
	my $self = bless { seconds => $options{seconds}, count => {}, daemons => [], proxies => [] }, __PACKAGE__;

	random_seed();
	$self->_start;
	$self->_play;
	$self->_calm;
	$self->_audit;
	$self->{node}->stop;
	return;
}

sub _start
{
	my ($self) = @_;
	my $chain = $self->{chain} = start_anvil();
	$self->{owner} = ($chain->accounts)[0];
	$self->{token} = $chain->deploy_token;
	$self->{disperse} = lc $chain->transact({ data => $code{disperse_token} })->{contractAddress};
	$chain->transfer_token($self->{token}, $self->{disperse}, 1_000_000_000);
	$chain->mine(10);
	$self->{start} = $chain->height;
	$chain->rpc('evm_setAutomine', JSON::PP::false);

	my $rate_limited = sub { return [ 429, 'slow down', { 'retry-after' => 1 } ] };
	my $out_of_order = sub { return [ 503, '<html>Service Unavailable</html>' ] };
	$self->{proxies} = [ map { start_proxy($chain, handlers => { rate_limited => $rate_limited, out_of_order => $out_of_order }) } 1 .. 2 ];
	my $endpoints = "ARRAY['" . join("', '", map { $_->url } @{ $self->{proxies} }) . "']";

	my $node = $self->{node} = new_node(workers => 3, conf => <<'CONF');
restart_after_crash = on
reconciler.expiry_grace = '1h'
reconciler.batch_size = 100
CONF
	set_up_shop($node, $chain, endpoints => $endpoints, confirmations => $confirmations, max_tip_age => "'1 hour'",
		tokens => "'logs'", native => "'blocks'", tip_interval => "'100ms'");
	$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', 'looked', $endpoints, "
		  . $chain->chain_id . ", confirmations => $confirmations, max_tip_age => '1 hour', tokens => 'balances', native => 'balances')");
	audit_leases($node);
	$node->safe_psql('postgres', $records);
	$node->safe_psql('postgres', <<'SQL');
CREATE ROLE reconcilerd LOGIN;
SELECT reconciler.grant_worker('reconcilerd'), reconciler.create_consumer('reader', 'beginning');
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)
SELECT 'ethereum', 'looked', 'ETH', 1000, '0x' || lpad(to_hex(x'7000000'::int + n), 40, '0') FROM generate_series(1, 1000) n
SQL
	$self->_start_daemon($_) for 0, 1;
	return;
}

sub _start_daemon
{
	my ($self, $number) = @_;
	$self->{daemons}[$number] = Reconciler::Daemon->start($self->{node}, user => 'reconcilerd', worker_id => "daemon-$number");
	return;
}

# As the application: the statement, or undef where the server went away meanwhile
sub _sql
{
	my ($self, $sql) = @_;
	my $value = eval {
		if (!$self->{session})
		{
			$self->{session} = session($self->{node});
			$self->{session}->query("SET chaos.application = 'yes'");
		}
		my @rows = $self->{session}->query($sql);
		# What psql says when the server goes away is no row
		die "closed\n" if grep { ($_->[0] // '') =~ /^(?:psql:|WARNING:|FATAL:|server closed|connection to server)/ } @rows;
		\@rows;
	};
	return $value if $value;
	my $error = $@;
	if ($error =~ /ERROR: / && $error !~ /terminating|closed|crash/)
	{
		# A statement that the server refuses is the test's fault, or a bug
		$self->{errors}{$error}++ if $error !~ /deadlock detected|could not serialize|lock timeout|canceling statement/;
		return undef;	## no critic (ProhibitExplicitReturnUndef)
	}
	eval { $self->{session}->close } if $self->{session};
	delete $self->{session};
	return undef;		## no critic (ProhibitExplicitReturnUndef)
}

# A request at random: id, address, token, amount
sub _request
{
	my ($self, $condition) = @_;
	my $rows = $self->_sql('SELECT id, address_canonical, token_contract, expected_amount_minor FROM payment_requests'
		  . " WHERE $condition ORDER BY random() LIMIT 1") // [];
	return @$rows ? @{ $rows->[0] } : ();
}

# ---------------------------------------------------------------------------
# The application and its customers
# ---------------------------------------------------------------------------

my $mine = "(network = 'local' OR address_canonical !~ '^0x0000000000')";
my $open = "status IN ('pending', 'detected')";

sub _insert
{
	my ($self) = @_;
	my $rows = join ', ', map {
		my $network = rand() < 0.8 ? 'local' : 'looked';
		my $token = rand() < 0.6 ? "'$self->{token}'" : 'NULL';
		my $expires = $network eq 'looked' ? "'1 hour'" : _any('NULL', "'1 hour'", "'5 s'", "'10 s'", "'20 s'");
		sprintf "('ethereum', '%s', 'X', %d, '%s', %s, clock_timestamp() + %s::interval)", $network, 1 + rand 1000,
		  Reconciler::Chain::new_address(), $token, $expires;
	} 1 .. 1 + rand 6;
	$self->_sql('INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, token_contract, expires_at)'
		  . " VALUES $rows");
	return;
}

sub _change
{
	my ($self) = @_;
	my ($id) = $self->_request("$open AND $mine AND network = 'local'") or return;
	my $new = Reconciler::Chain::new_address();
	my $set = _any("expected_amount_minor = " . (1 + int rand 1000), "address_canonical = '$new'", "expires_at = clock_timestamp() + interval '15 s'",
		'expires_at = NULL', "address_canonical = address_canonical");
	$self->_sql("UPDATE payment_requests SET $set WHERE id = '$id' AND $open");
	return;
}

sub _cancel
{
	my ($self) = @_;
	my ($id) = $self->_request("$open AND $mine") or return;
	$self->_sql("UPDATE payment_requests SET status = 'cancelled' WHERE id = '$id' AND $open");
	return;
}

sub _delete
{
	my ($self) = @_;
	my ($id) = $self->_request($mine) or return;
	$self->_sql("DELETE FROM payment_requests WHERE id = '$id'");
	return;
}

sub _reopen
{
	my ($self) = @_;
	my ($id) = $self->_request("network = 'local' AND status IN ('confirmed', 'expired')") or return;
	$self->_sql(_any(
		"SELECT reconciler.reopen('payment_requests', '$id')",
		"UPDATE payment_requests SET status = 'pending', expires_at = clock_timestamp() + interval '20 s' WHERE id = '$id' AND status = 'expired'"));
	return;
}

sub _send
{
	my ($self, %transaction) = @_;
	my $from = _any(($self->{chain}->accounts)[ 1 .. 8 ]);
	$from = $self->{owner} if $transaction{token};
	delete $transaction{token};
	$self->{count}{payments}++ if eval { $self->{chain}->rpc('eth_sendTransaction', { from => $from, gas => '0x100000', %transaction }) };
	return;
}

sub _pay
{
	my ($self) = @_;
	return if $self->{suspended};
	my (undef, $address, $token, $amount) = $self->_request($mine . (rand() < 0.9 ? " AND $open" : '')) or return;
	my $paid = _any($amount, $amount, $amount, $amount + 1, int($amount / 2) + 1, 1);
	return $self->_send(to => $address, value => Reconciler::Chain::quantity($paid)) unless $token;
	return $self->_send(token => 1, to => $token, data => '0xa9059cbb' . address_word($address) . word($paid)) if rand() < 0.7;

	# Two for the same payee in one transaction, and one for another
	my (undef, $other) = $self->_request("$mine AND $open AND token_contract IS NOT NULL") or return;
	return $self->_send(token => 1, to => $self->{disperse},
		data => '0x' . address_word($token) . word($paid) . join '', map { address_word($_) } $address, $other, $address);
}

# What an operator does under load; a crash may cut it anywhere
sub _operate
{
	my ($self) = @_;
	my $done = $self->_sql(_any("SELECT reconciler.resync('payment_requests')",
		'ALTER TABLE payment_requests ADD COLUMN IF NOT EXISTS note text', 'ALTER TABLE payment_requests DROP COLUMN IF EXISTS note',
		'VACUUM', 'REINDEX SCHEMA reconciler', "SELECT reconciler.set_network('ethereum', 'local', poll_interval => '300ms')",
		"SELECT reconciler.set_network('ethereum', 'local', poll_interval => '200ms')"));
	$self->{count}{'acts of the operator'}++ if $done;
	return;
}

sub _read_events
{
	my ($self) = @_;
	my $rows = $self->_sql("SELECT event_id FROM reconciler.read_events('reader', 500, '1 second')") or return 0;
	return 0 unless @$rows;
	$self->{read}{ $_->[0] }++ for @$rows;
	$self->_sql("SELECT reconciler.ack_events('reader', $rows->[-1][0])") if rand() < 0.9;
	return scalar @$rows;
}

# ---------------------------------------------------------------------------
# Chance
# ---------------------------------------------------------------------------

# Kills a process of the server: all others go with it, and with them what is unlogged
sub _kill_backend
{
	my ($self, $condition, $what) = @_;
	my $rows;
	for (1 .. 20)
	{
		$rows = $self->_sql("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $condition ORDER BY random() LIMIT 1") or return;
		last if @$rows;
		sleep 0.01;
	}
	return unless @$rows && $rows->[0][0] =~ /^\d+$/ && kill KILL => $rows->[0][0];
	$self->{count}{"$what killed"}++;
	# psql may end before it has read the statement
	wait_until(sub { eval { $self->{node}->psql('postgres', 'SELECT 1') == 0 } }, 60);
	return;
}

sub _end_backend
{
	my ($self) = @_;
	$self->{count}{'backends ended'}++
	  if $self->_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'reconciler worker' OR usename = 'reconcilerd' ORDER BY random() LIMIT 1");
	return;
}

sub _kill_daemon
{
	my ($self) = @_;
	my $number = int rand 2;
	my $daemon = $self->{daemons}[$number];
	if ($daemon->is_running)
	{
		$daemon->signal('KILL');
		$daemon->wait_for_end(10);
		$self->{count}{'daemons killed'}++;
	}
	return $self->_start_daemon($number);
}

sub _stop_server
{
	my ($self) = @_;
	$self->{node}->stop('immediate');
	$self->{node}->start;
	$self->{count}{'servers stopped'}++;
	return;
}

sub _suspend
{
	my ($self) = @_;
	return if $self->{suspended};
	$self->{chain}->suspend;
	$self->{suspended} = time() + rand 3;
	$self->{count}{suspensions}++;
	return;
}

sub _flap
{
	my ($self) = @_;
	_any(@{ $self->{proxies} })->set(mode => _any(qw(pass pass pass hang refuse truncate rate_limited out_of_order)), delay_ms => _any(0, 0, 50, 300));
	$self->{count}{'endpoint changes'}++;
	return;
}

# Blocks go; of their transactions some come again, in other blocks, and others never
sub _reorganise
{
	my ($self) = @_;
	my $chain = $self->{chain};
	my $depth = 1 + int rand $confirmations - 1;
	return if $self->{suspended} || $chain->height - $depth <= $self->{start};
	my @raw = map { eval { $chain->rpc('eth_getRawTransactionByHash', $_) } // () } grep { rand() < 0.7 } map {
		@{ $chain->rpc('eth_getBlockByNumber', sprintf('0x%x', $_), JSON::PP::false)->{transactions} }
	} $chain->height - $depth + 1 .. $chain->height;
	eval { $chain->rpc('anvil_reorg', $depth, []); 1 } or return;
	$self->{count}{reorganisations}++;
	eval { $chain->rpc('eth_sendRawTransaction', $_) } for @raw;
	return;
}

sub _mine
{
	my ($self) = @_;
	return if $self->{suspended} || time() < ($self->{mine_at} // 0);
	$self->{chain}->rpc('evm_mine');
	$self->{mine_at} = time() + 0.6 + rand 0.9;
	return;
}

sub _play
{
	my ($self) = @_;
	my $worker = "backend_type = 'reconciler worker'";
	my @acts = (
		[ 30, '_insert' ], [ 10, '_change' ], [ 4, '_cancel' ], [ 3, '_delete' ], [ 6, '_reopen' ], [ 60, '_pay' ], [ 20, '_read_events' ], [ 3, '_operate' ],
		[ 10, '_flap' ], [ 2, '_suspend' ], [ 4, '_reorganise' ], [ 2, '_end_backend' ], [ 1.5, '_kill_daemon' ], [ 0.3, '_stop_server' ],
		[ 0.4, '_kill_backend', $worker, 'workers' ],
		[ 0.2, '_kill_backend', "backend_type = 'reconciler launcher'", 'launchers' ],
		[ 0.4, '_kill_backend', "usename = 'reconcilerd' AND state = 'active' AND query ~ 'claim'", 'sessions in a claim' ],
		[ 0.4, '_kill_backend', "usename = 'reconcilerd' AND state = 'active' AND query ~ 'settle|advance|undo|look_back'", 'sessions in a settle' ]);
	my $all = 0;
	$all += $_->[0] for @acts;
	my $end = time() + $self->{seconds};
	while (time() < $end)
	{
		$self->_mine;
		if ($self->{suspended} && time() > $self->{suspended})
		{
			$self->{chain}->resume;
			delete $self->{suspended};
		}
		my $chosen = rand $all;
		for my $act (@acts)
		{
			next if ($chosen -= $act->[0]) >= 0;
			my (undef, $method, @arguments) = @$act;
			$self->$method(@arguments);
			last;
		}
		sleep rand 0.04;
	}
	return;
}

# Everything is honest and stays up; the chain grows until nothing is left to expire or to be undone
sub _calm
{
	my ($self) = @_;
	my $chain = $self->{chain};
	$chain->resume;
	delete $self->{suspended};
	$_->set(mode => 'pass', delay_ms => 0) for @{ $self->{proxies} };
	for my $number (0, 1)
	{
		$self->_start_daemon($number) unless $self->{daemons}[$number]->is_running;
		ok($self->{daemons}[$number]->wait_for_log(qr/ started /, 30), 'a daemon runs') or diag($self->{daemons}[$number]->log);
	}
	my $node = $self->{node};
	my $last = $node->safe_psql('postgres', "SELECT coalesce(ceil(extract(epoch FROM max(expires_at))), 0) FROM payment_requests"
		  . " WHERE network = 'local' AND $open AND expires_at < clock_timestamp() + interval '10 minutes'");
	ok(wait_until(sub {
		$chain->rpc('evm_mine');
		sleep 0.5;
		hex $chain->rpc('eth_getBlockByNumber', sprintf('0x%x', $chain->height - $confirmations - 1), JSON::PP::false)->{timestamp} > $last
	}), 'the chain passes what expires');
	my $unsettled = "FROM reconciler.queue q WHERE q.network_id > 0 AND (q.settled >= q.expected"
	  . " OR (q.followed AND (q.expires_at < to_timestamp($last + 1) OR (q.expires_at IS NULL AND q.status = 'detected' AND q.seen < q.expected))))";
	ok(wait_until(sub {
		$chain->rpc('evm_mine');
		sleep 0.5;
		$node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM reconciler.queue) AND NOT EXISTS (SELECT $unsettled)") eq 't'
	}, 60), 'everything is settled') or diag($node->safe_psql('postgres', "SELECT q.*, now() $unsettled LIMIT 5"));
	$chain->rpc('evm_mine') for 0 .. $confirmations;
	my $tip = $chain->rpc('eth_getBlockByNumber', 'latest', JSON::PP::false)->{hash};
	$node->safe_psql('postgres', 'CREATE TABLE audit.calm AS SELECT clock_timestamp() AS at');
	wait_for_sql($node, "SELECT c.hash = '$tip' AND NOT EXISTS (SELECT FROM reconciler.queue WHERE look_back_due OR looking_back)"
		  . ' AND NOT EXISTS (SELECT FROM reconciler.payment_changes) FROM reconciler.cursors AS c', 'the chain is read up to its tip', seconds => 60);
	wait_for_sql($node, <<'SQL', 'everything is looked at once more', seconds => 60);
SELECT NOT EXISTS (
	SELECT FROM reconciler.batches b
	 WHERE EXISTS (SELECT FROM reconciler.queue q WHERE q.network_id = b.network_id AND NOT q.followed AND q.seq >= b.lo AND q.seq < b.hi)
	   AND b.network_id > 0
	   AND NOT EXISTS (SELECT FROM audit.leases l, audit.calm c WHERE l.network_id = b.network_id AND l.lo <= b.lo AND l.hi >= b.hi
						AND l.started_at > c.at AND l.ended_at IS NOT NULL))
SQL
	1 while $self->_read_events;
	return;
}

# ---------------------------------------------------------------------------
# The audit
# ---------------------------------------------------------------------------

# All that the chain's blocks pay: {key}[{txid, kind, amount, height, hash, time}]; key: token (or nothing) and payee
sub _scan
{
	my ($self) = @_;
	my $chain = $self->{chain};
	my %paid;
	for my $height ($self->{start} + 1 .. $chain->height)
	{
		my $block = $chain->rpc('eth_getBlockByNumber', sprintf('0x%x', $height), JSON::PP::true);
		my %where = (height => $height, hash => $block->{hash}, time => hex $block->{timestamp});
		for my $transaction (@{ $block->{transactions} })
		{
			my $receipt = $chain->rpc('eth_getTransactionReceipt', $transaction->{hash});
			next unless hex $receipt->{status};
			my $value = Math::BigInt->new($transaction->{value});
			push @{ $paid{ '/' . lc $transaction->{to} } }, { %where, txid => $transaction->{hash}, kind => 'native', amount => "$value" }
			  if $transaction->{to} && $value > 0;
			for my $log (@{ $receipt->{logs} })
			{
				next unless @{ $log->{topics} } == 3 && $log->{topics}[0] eq $transfer;
				push @{ $paid{ lc("$log->{address}/0x") . lc substr $log->{topics}[2], 26 } },
				  { %where, txid => $transaction->{hash}, kind => 'token', amount => Math::BigInt->new($log->{data})->bstr };
			}
		}
	}
	return \%paid;
}

sub _sum { my ($good, @credits) = @_; my $sum = 0; $sum += $_->{amount} for grep { $good->($_) } @credits; return $sum }

sub _audit
{
	my ($self) = @_;
	my $session = session($self->{node});
	my $paid = $self->_scan;

	my @requests = map {
		my %row;
		@row{qw(id network status amount address token expires in_queue)} = @$_;
		$row{credits} = $paid->{"$row{token}/$row{address}"} // [];
		\%row
	} $session->query("SELECT r.id, r.network, r.status, expected_amount_minor, lower(address_canonical), lower(coalesce(token_contract, '')),"
		  . " extract(epoch FROM expires_at), EXISTS (SELECT FROM reconciler.queue q WHERE q.request_id = r.id::text) FROM payment_requests r");
	$self->_audit_statuses(@requests);
	$self->_audit_confirmations($session, $paid);
	$self->_audit_ledger($session, $paid, @requests);
	$self->_audit_history($session);
	$self->_audit_events($session);

	my $report = Reconciler::Audit::report($session);
	is($report->{overlaps}, 0, "no two leases of a request at once ($report->{leases} leases, $report->{workers} workers)");
	is($session->value('SELECT count(*) FROM audit.cursor_claims WHERE overlapped'), 0, 'nor of a cursor');
	cmp_ok($session->value("SELECT count(DISTINCT owner) FROM audit.leases WHERE owner LIKE 'daemon-%'"), '==', 2, 'daemons had some of them');
	is(join("\n", sort keys %{ $self->{errors} // {} }), '', 'the application was refused nothing');
	is(join("\n", log_lines($self->{node}, qr/PANIC|TRAP|signal (?:4|6|7|8|11):/)), '', 'nothing crashed by itself');
	$self->{count}{'request-leases'} = $session->value('SELECT coalesce(sum(requests), 0) FROM audit.claims');
	$self->{count}{"cursor leases"} = $session->value('SELECT count(*) FROM audit.cursor_claims');
	$self->{count}{requests} = $session->value("SELECT count(DISTINCT id) FROM audit.versions");
	$self->{count}{"reopened"} = $session->value("SELECT count(*) FROM reconciler.events WHERE kind = 'request.reopened'");
	$self->{count}{blocks} = $self->{chain}->height - $self->{start};
	$self->{count}{"transitions ($_->[0])"} = $_->[1] for $session->query('SELECT reason, count(*) FROM reconciler.transitions GROUP BY reason');
	note("$_: $self->{count}{$_}") for sort keys %{ $self->{count} };
	$session->close;
	return;
}

# What each request must be, by what the chain says of it now
sub _audit_statuses
{
	my ($self, @requests) = @_;
	my (@lost, @wrong);
	for my $request (@requests)
	{
		next if $request->{status} eq 'cancelled';
		my $in_time = _sum(sub { !length $request->{expires} || $_->{time} <= $request->{expires} }, @{ $request->{credits} });
		my $enough = $in_time >= $request->{amount};
		my $text = join ' ', map { "$_=$request->{$_}" } qw(id network status amount address token expires in_queue);
		push @lost, "$text paid=$in_time" if $enough && $request->{status} ne 'confirmed';
		push @wrong, "$text paid=$in_time" if !$enough && $request->{status} eq 'confirmed';
		push @lost, "$text is not observed" if !$request->{in_queue} && $request->{status} =~ /pending|detected/;
		push @wrong, "$text paid=$in_time" if $request->{status} eq 'detected' && !$enough && $request->{network} eq 'local' && !length $request->{expires};
	}
	$self->{count}{'requests in the end'} = @requests;
	is(join("\n", @lost), '', 'every payment in time is confirmed');
	is(join("\n", @wrong), '', 'nothing is confirmed or detected without one');
	return;
}

# The version of the row that each confirmation wrote, against what had been paid by the block that it names
sub _audit_confirmations
{
	my ($self, $session, $paid) = @_;
	my @wrong;
	my $deepest = $self->{chain}->height;
	for my $row ($session->query(<<'SQL'))
SELECT v.id, v.amount, lower(v.address), lower(coalesce(v.token, '')), extract(epoch FROM v.expires_at), t.block_height, t.block_hash
  FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY version) AS n FROM audit.versions WHERE NOT by_application AND status = 'confirmed') v
  LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY transition_id) AS n FROM reconciler.transitions WHERE to_status = 'confirmed') t
	ON t.request_id = v.id AND t.n = v.n
SQL
	{
		my ($id, $amount, $address, $token, $expires, $height, $hash) = @$row;
		my $sum = _sum(sub { $_->{height} <= ($height || 0) && (!length $expires || $_->{time} <= $expires) }, @{ $paid->{"$token/$address"} // [] });
		my $block = length $height ? $self->{chain}->rpc('eth_getBlockByNumber', sprintf('0x%x', $height), JSON::PP::false)->{hash} : '';
		push @wrong, "$id: $sum of $amount by block $height" if $sum < $amount;
		push @wrong, "$id: block $height is $block, not $hash" if $block ne $hash;
	}
	is(join("\n", @wrong), '', 'each confirmation had the money at its depth, in a block of the chain');
	return;
}

sub _audit_ledger
{
	my ($self, $session, $paid, @requests) = @_;
	my %scanned;
	for my $key (keys %$paid)
	{
		$scanned{ join ' ', $key, @{$_}{qw(txid kind amount height hash)} }++ for @{ $paid->{$key} };
	}
	my (%live, @strange, @missing);
	my $zeros = '0' x 40;
	for my $row ($session->query("SELECT encode(key, 'hex'), txid, kind, amount, block_height, block_hash FROM reconciler.payments WHERE gone_at IS NULL"))
	{
		my ($key, @rest) = @$row;
		my ($token, $holder) = $key =~ /^(.{40})(.{40})$/;
		$live{ join ' ', ($token eq $zeros ? '' : "0x$token") . "/0x$holder", @rest }++;
	}
	for my $credit (keys %live)
	{
		push @strange, "$credit: $live{$credit}, in the chain " . ($scanned{$credit} // 0) if $live{$credit} > ($scanned{$credit} // 0);
	}
	my $sum = 0;
	for my $request (grep { $_->{network} eq 'local' && $_->{status} ne 'cancelled' } @requests)
	{
		for my $credit (@{ $request->{credits} })
		{
			my $text = join ' ', "$request->{token}/$request->{address}", @{$credit}{qw(txid kind amount height hash)};
			$sum += $credit->{amount};
			push @missing, "$text (request $request->{id}, $request->{status}): " . ($live{$text} // 0) if ($live{$text} // 0) != $scanned{$text};
		}
	}
	$self->{count}{'payments in the ledger'} = 0;
	$self->{count}{'payments in the ledger'} += $_ for values %live;
	is(join("\n", @strange), '', 'what stands in the ledger stands in the chain, once');
	is(join("\n", @missing), '', "what the chain pays stands in the ledger (sum $sum)");
	return;
}

# The steps of each request: as rows had them, and as transitions say
sub _audit_history
{
	my ($self, $session) = @_;
	my $text = sub { return join "\n", map { join ' ', @$_ } $session->query($_[0]) };
	is($text->(<<'SQL'), '', 'each step starts where the one before ended');
SELECT * FROM (SELECT id, what, status_before, status, lag(status) OVER (PARTITION BY id ORDER BY version) AS previous FROM audit.versions) v
 WHERE what <> 'INSERT' AND previous IS DISTINCT FROM status_before
SQL
	is($text->(<<'SQL'), '', 'workers leave no end status, and go nowhere else');
SELECT id, status_before, status FROM audit.versions
 WHERE NOT by_application AND what = 'UPDATE' AND status IS DISTINCT FROM status_before
   AND (status_before || ' ' || status) NOT IN ('pending detected', 'pending confirmed', 'pending expired', 'detected confirmed', 'detected expired', 'detected pending')
SQL
	my $steps = "SELECT id, row_number() OVER (PARTITION BY id ORDER BY version) AS n, status_before, status FROM audit.versions"
	  . " WHERE NOT by_application AND status IS DISTINCT FROM status_before AND what = 'UPDATE'";
	my $transitions = "SELECT request_id, row_number() OVER (PARTITION BY request_id ORDER BY transition_id) AS n, from_status, to_status FROM reconciler.transitions WHERE reason <> 'reopened'";
	is($text->("($steps) EXCEPT ($transitions)"), '', 'each step of a worker has its transition');
	is($text->("($transitions) EXCEPT ($steps)"), '', 'and each transition is a step');
	is($text->(<<'SQL'), '', 'none expires because nobody could look');
SELECT request_id, reason FROM reconciler.transitions WHERE reason = 'unobserved'
SQL
	return;
}

sub _audit_events
{
	my ($self, $session) = @_;
	my $text = sub { return join "\n", map { join ' ', @$_ } $session->query($_[0]) };
	my $events = "SELECT kind, source_id, request_id, payload FROM reconciler.events WHERE kind LIKE 'request.%' AND kind <> 'request.reopened'";
	my $transitions = "SELECT 'request.' || to_status, source_id, request_id, reconciler._transition_payload(t) FROM reconciler.transitions t WHERE reason <> 'reopened'";
	is($text->("($events) EXCEPT ALL ($transitions)"), '', 'each event of a request is a transition');
	is($text->("($transitions) EXCEPT ALL ($events)"), '', 'each transition has one event');
	is($text->(<<'SQL'), '', 'payments come, go and return by turns, and end as the ledger has them');
SELECT p.payment_id, p.request_id, p.txid, p.ordinal, p.gone_at, e.kinds FROM reconciler.payments p
 CROSS JOIN LATERAL (
	SELECT coalesce(string_agg(CASE e.kind WHEN 'payment.gone' THEN '-' ELSE '+' END, '' ORDER BY e.event_id), '') AS kinds FROM reconciler.events e
	 WHERE e.kind IN ('payment.gone', 'payment.returned', 'payment.seen') AND e.request_id = p.request_id AND e.payload ->> 'txid' = p.txid
	   AND e.payload ->> 'kind' = p.kind AND e.payload ->> 'ordinal' = p.ordinal::text) e
 WHERE NOT EXISTS (SELECT FROM reconciler.events l WHERE l.kind = 'payment.late' AND l.request_id = p.request_id)
   AND (SELECT count(*) FROM reconciler.payments x WHERE (x.txid, x.request_id) = (p.txid, p.request_id)) = 1
   AND e.kinds !~ CASE WHEN p.gone_at IS NULL THEN '^[+](-[+])*$' ELSE '^([+]-)+$' END
SQL
	my @unread = grep { !$self->{read}{$_} } map { $_->[0] } $session->query('SELECT event_id FROM reconciler.events');
	is("@unread", '', 'a consumer has read every event: ' . keys %{ $self->{read} });
	return;
}

1;
