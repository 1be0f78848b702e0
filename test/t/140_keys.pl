# Keys of endpoints reach neither the server's log nor any view: not by a
# statement that is refused, not by an endpoint that gives them back in another
# case, percent-encoded, as Basic authentication or across the place where its
# words are cut. And a cookie file that is none is neither waited for nor sent.

use strict;
use warnings;

use JSON::PP;
use MIME::Base64;
use POSIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $key = 'Zq7Kp3Vx9Tn2';
my $password = 'Hb4Lw8Rm';
my $node = new_node(workers => 1);
my $chain = start_anvil();

# Everything that can be seen of a secret, in any of its forms
sub leaks
{
	my ($text) = @_;
	my $base64 = encode_base64("alice:$password", '');
	$base64 =~ s/=+$//;
	# Half a key is one
	return grep { index(lc $text, lc $_) >= 0 } $key, substr($key, 0, 6), $password, substr($password, 0, 6), substr($base64, 0, 10),
	  '%5a%71%37';
}

# What an administrator, monitoring and the application can look at
sub seen
{
	my $views = $node->safe_psql('postgres', <<'SQL');
SELECT row_to_json(s) FROM reconciler.stat_networks s;
SELECT row_to_json(w) FROM reconciler.stat_workers w;
SELECT row_to_json(s) FROM reconciler.network_state s;
SELECT q.error, q.invalid FROM reconciler.queue q;
SELECT e FROM payment_requests p, reconciler.explain('payment_requests', p.id::text) e;
SQL
	return $views . slurp_file($node->logfile);
}

set_up_shop($node, $chain);
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE administrator LOGIN;
GRANT USAGE ON SCHEMA reconciler TO administrator;
DO $$
DECLARE f regprocedure;
BEGIN
	FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace AND proname IN ('add_network', 'set_network') LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO administrator', f);
	END LOOP;
END $$;
SQL

# Refused statements, of a superuser and of an administrator who is none
my $secret_url = "https://alice:$password\@node.example/v3/$key";
my @refused = (
	"SELECT reconciler.add_network('ethereum', 'other', ARRAY['$secret_url'])",
	"SELECT reconciler.add_network('ethereum', 'local', ARRAY['$secret_url'], 31337)",
	"SELECT reconciler.add_network('ethereum', 'other', ARRAY['ftp://alice:$password\@node.example/$key'], 1)",
	"SELECT reconciler.add_network('ethereum', 'other', ARRAY['$secret_url'], 1, confirmations => -1)",
	"SELECT reconciler.add_network('ethereum', 'other', ARRAY['$secret_url'], 1, max_tip_age => '-1 s')",
	"SELECT reconciler.set_network('ethereum', 'nowhere', ARRAY['$secret_url'])",
	"SELECT reconciler.set_network('ethereum', 'local', ARRAY['$secret_url'], reset => '{name}')",
	"BEGIN; SAVEPOINT a; SELECT reconciler.set_network('ethereum', 'local', ARRAY['$secret_url'], batch_size => 100000); COMMIT");
for my $role ('postgres', 'administrator')
{
	for my $statement (@refused)
	{
		my ($status, undef, $error) = $node->psql('postgres', ($role eq 'postgres' ? '' : "SET SESSION AUTHORIZATION $role; ") . $statement,
			on_error_stop => 1);
		isnt($status, 0, "$role: refused: " . ($error =~ /ERROR:\s+(.*)/ ? $1 : $error));
	}
}
is($node->safe_psql('postgres', 'SHOW log_min_error_statement'), 'error', 'the setting is the session\'s own again');
$node->psql('postgres', 'SELECT 1/0 AS the_next_statement');
ok(log_lines($node, qr/STATEMENT:.*the_next_statement/), 'other refused statements are logged as ever');
is_deeply([ leaks(seen()) ], [], 'no key of a refused statement is in the log');

# An endpoint that gives everything back
my $json = JSON::PP->new;
my @forms = (
	$key, uc $key, lc $key, join('', map { sprintf '%%%02x', ord } split //, $key), substr($key, 0, 4) . sprintf('%%%02X', ord substr $key, 4, 1) . substr($key, 5),
	$password, lc $password, encode_base64("alice:$password", ''), "/v3/$key", "alice:$password");
my $echo = start_proxy($chain, mode => 'echo', handlers => {
	echo => sub {
		my ($body, $path) = @_;
		my $request = $json->decode($body);
		my $form = $forms[ int rand @forms ];
		my $message = ('x' x (rand() < 0.5 ? 3 : 370 + rand 30)) . " $form " . $path;
		my $error = { code => -32000, message => rand() < 0.5 ? "too many requests: $message" : $message };
		return [ 200, $json->encode(ref $request eq 'ARRAY' && rand() < 0.5
			? [ map { { jsonrpc => '2.0', id => $_->{id}, error => $error } } @$request ]
			: { jsonrpc => '2.0', id => ref $request eq 'ARRAY' ? undef : $request->{id}, error => $error }), {} ];
	},
	status => sub { my ($body, $path) = @_; return [ 403, "<html>$path alice:$password</html>", {} ] },
});
(my $echo_url = $echo->url) =~ s{//}{//alice:$password\@};
my $id = add_request($node, address => $chain->new_address, amount => 1000, expires => '1 day');
for my $mode ('echo', 'echo', 'status')
{
	$echo->set(mode => $mode);
	my $before = $echo->stats->{requests};
	for my $round (1 .. 8)
	{
		# Another endpoint each time: none of them rests
		$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', ARRAY['$echo_url/v3/$key?apikey=$key&round=$round'])");
		my $asked = $echo->stats->{requests};
		wait_until(sub { $echo->stats->{requests} > $asked });
	}
	cmp_ok($echo->stats->{requests}, '>', $before + 7, "$mode: the endpoint was asked");
	wait_for_sql($node, q{SELECT error IS NOT NULL FROM reconciler.stat_networks}, "$mode: its error is shown");
	is_deeply([ leaks(seen()) ], [], "$mode: without a secret");
}

# A cookie "file" that would make whoever opens it wait, and one that is none
my $directory = PostgreSQL::Test::Utils::tempdir();
my $fifo = "$directory/fifo";
mkfifo($fifo, 0600) or die "mkfifo: $!";
append_to_file("$directory/passwd", "root:$password:0:0\n");
my $thief = start_misbehaving(status => 401, body => '');
for my $case ([ $fifo, 'regular file' ], [ "$directory/passwd", 'holds no' ], [ "$directory/none", 'be read' ], [ '/dev/zero', 'regular file' ])
{
	my ($path, $expected) = @$case;
	$node->safe_psql('postgres', "SELECT reconciler.add_network('bitcoin', 'regtest', ARRAY['" . $thief->url . "/?cookie=$path'], kind => 'bitcoind')");
	$node->safe_psql('postgres', q{INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)
		VALUES ('bitcoin', 'regtest', 'BTC', 1000, 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080')});
	wait_for_sql($node, "SELECT error LIKE '%$expected%' FROM reconciler.stat_networks WHERE chain = 'bitcoin'", "cookie $expected: it is said");
	unlike($node->safe_psql('postgres', q{SELECT error FROM reconciler.stat_networks WHERE chain = 'bitcoin'}), qr/\Q$path\E/, 'but not where it is');
	$node->safe_psql('postgres', q{SELECT reconciler.remove_network('bitcoin', 'regtest')});
}
is($thief->stats->{requests}, 0, 'nothing was sent anywhere');
is_deeply([ leaks(seen()) ], [], 'and nothing of it was shown');

$node->stop;
done_testing();
