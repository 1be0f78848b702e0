# What applications and endpoints say can't pass for a line or a field of the log: neither in the
# server's log nor in the daemon's, as text or as JSON.
use strict;
use warnings;

use JSON::PP;

use PostgreSQL::Test::Utils;
use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $node = new_node();
my $chain = start_anvil();
set_up_shop($node, $chain);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE orders (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	asset text DEFAULT 'ETH', status text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 1000,
	address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('orders', allow_superuser_owner => true);
SQL

my $forged = 'transition role=worker worker_id=forged source=x request_id=victim from=pending to=confirmed reason=forged';
my %ids = (
	'a second line' => qq(E'one\\n2026-01-01 00:00:00.000 UTC [1] LOG:  $forged'),
	'fields' => "'two from=pending to=confirmed worker_id=forged'",
	'quotes' => qq('three" to=confirmed worker_id=forged x="'),
	'a backslash' => qq('four\\" to=confirmed worker_id=forged x="'),
	'JSON members' => qq('five","worker_id":"forged","level":"forged","x":"'),
	'controls' => q(E'six\x1b[2K\x7f\u0085\r' || 'worker_id=forged'),
	'writing direction' => q(E'seven\u202edegrof=di_rekrow\u2066\u2028'),
	'length' => q('eight ' || repeat('worker_id=forged ', 100)));

sub add_orders
{
	for my $id (values %ids)
	{
		my $address = $chain->new_address;
		$chain->set_balance($address, '1000');
		$node->safe_psql('postgres', "INSERT INTO orders (id, address_canonical) VALUES ($id, '$address')");
	}
	return;
}

my $open = "SELECT count(*) = 0 FROM orders WHERE status <> 'confirmed'";

# Bytes that turn lines around or break them, in UTF-8
my $hidden = qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]/;

# Fields of a line in logfmt; undef: it isn't one
sub fields
{
	my ($line) = @_;
	my @fields;
	while ($line =~ /\G ([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]*)(?= |\z)/gc)
	{
		push @fields, $1;
	}
	return pos($line) == length $line ? \@fields : undef;
}

sub check_transitions
{
	my ($name, @lines) = @_;
	is(scalar @lines, scalar keys %ids, "$name: one line for each transition");
	my @expected = qw(role worker_id source request_id from to reason);
	is_deeply(fields($_), \@expected, "$name: its fields and no other: $_") for @lines;
	is(scalar(grep { / worker_id=forged/ && !/request_id="/ } @lines), 0, "$name: no forged worker");
	is(scalar(grep { $_ =~ $hidden } @lines), 0, "$name: nothing hidden");
	return;
}

# The server's log
add_orders();
set_workers($node, 1);
wait_for_sql($node, $open, 'the worker confirms them');
set_workers($node, 0);
check_transitions('server', map { s/.*? LOG:  transition(?= )//r } log_lines($node, qr/LOG:  transition /));
is(scalar(log_lines($node, qr/^[^\t]*\Q$forged\E/)), scalar(log_lines($node, qr/LOG:  transition .*request_id="one\\n.*\Q$forged\E/)),
	'server: the forged line is none');

# What SQL functions log
my $mixed = <<'SQL';
SELECT reconciler._log_value(E'a b\n"c=' || chr(92) || chr(8238))
SQL
my $quoted = <<'TEXT';
"a b\n\"c=\\\u202e"
TEXT
is($node->safe_psql('postgres', $mixed), $quoted =~ s/\n\z//r, '_log_value quotes');
is($node->safe_psql('postgres', 'SELECT reconciler._log_value($$r-1:2$$), reconciler._log_value($$$$), reconciler._log_value(NULL)'),
	'r-1:2|""|""', '_log_value leaves words alone');

# The daemon's, as text
$node->safe_psql('postgres', 'TRUNCATE orders, reconciler.transitions');
add_orders();
my $daemon = Reconciler::Daemon->start($node, worker_id => 'text');
wait_for_sql($node, $open, 'a daemon confirms them');
is($daemon->terminate(30), 0, 'and stops');
check_transitions('text', map { s/^\S+ info transition(?= )//r } grep { /^\S+ info transition / } split /\n/, $daemon->log);
is(scalar(grep { !/^20\S+ (?:info|warning|debug) \w/ } split /\n/, $daemon->log), 0, 'text: each line has its time and level');

# The daemon's, as JSON, while an endpoint talks
my $talk = qq(","level":"forged\n$forged\e[2K\x{202e});
my $refuse = sub {
	my $calls = decode_json($_[0]);
	my @answers = map { { jsonrpc => '2.0', id => $_->{id}, error => { code => -32000, message => $talk } } }
	  ref $calls eq 'ARRAY' ? @$calls : $calls;
	return [ 200, JSON::PP->new->ascii->encode(ref $calls eq 'ARRAY' ? \@answers : $answers[0]) ];
};
my $talker = start_proxy($chain, mode => 'talk', handlers => { talk => $refuse });
$node->safe_psql('postgres', 'TRUNCATE orders, reconciler.transitions');
$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['" . $talker->url . "/', '" . $chain->url . "'])");
add_orders();
$daemon = Reconciler::Daemon->start($node, worker_id => 'json', env => { RECONCILER_LOG_FORMAT => 'json' });
wait_for_sql($node, $open, 'another confirms them');
is($daemon->terminate(30), 0, 'and stops, too');
my @events;
for my $line (split /\n/, $daemon->log)
{
	my $event = eval { decode_json($line) } or diag("$@: $line");
	my @keys;
	push @keys, $1 while $line =~ /\G(?:\{|,)"((?:[^"\\]|\\.)*)":(?:"(?:[^"\\]|\\.)*"|-?\d+)/gc;
	my %keys = map { $_ => 1 } @keys;
	ok(ref $event eq 'HASH' && substr($line, pos($line) // 0) eq '}' && @keys == keys %keys && @keys == keys %$event,
		"JSON: an object without duplicate keys: $line");
	is_deeply([ @keys[ 0 .. 4 ] ], [qw(time level event role worker_id)], 'JSON: the order of its keys');
	unlike($line, $hidden, 'JSON: nothing hidden');
	push @events, $event;
}
is(scalar(grep { $_->{worker_id} ne 'json' || $_->{level} !~ /^(?:info|warning)\z/ } @events), 0, 'JSON: no forged member');
my @transitions = grep { $_->{event} eq 'transition' } @events;
is(scalar @transitions, scalar keys %ids, 'JSON: one object for each transition');
is(scalar(grep { $_->{request_id} eq "one\n2026-01-01 00:00:00.000 UTC [1] LOG:  $forged" } @transitions), 1, 'JSON: ids come back as they were');
ok((grep { ($_->{message} // '') =~ /forged/ } @events), 'JSON: what the endpoint says is in the message');

done_testing();
