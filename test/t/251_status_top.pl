# reconcilerd status, top and --healthcheck, with a role in pg_monitor: tables and JSON, exit codes by the worst
# finding; top in a pseudo-terminal: what it shows, keys, a terminal that is left as it was, and nothing in it
# that a request's id could tell the terminal.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;
use Time::HiRes ();

plan skip_all => 'no IO::Pty here (Debian: libio-pty-perl)' unless eval { require IO::Pty; 1 };

my $node = new_node();
my $chain = start_anvil();
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . ($proxy->url =~ s{//}{//me:s3cret@}r) . "']", confirmations => 1);
$node->safe_psql('postgres', q{CREATE ROLE monitor LOGIN IN ROLE pg_monitor; CREATE ROLE nobody LOGIN;
	CREATE TABLE odd (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local', expected_amount_minor numeric, address_canonical text);
	SELECT reconciler.attach('odd', allow_superuser_owner => true)});
my %environment = (Reconciler::Daemon::clean_environment(), DATABASE_URL => Reconciler::Daemon::url($node, user => 'monitor'));

# Exit code and output of reconcilerd with these arguments
sub run
{
	my (@arguments) = @_;
	local %ENV = %environment;
	my $process = Reconciler::Process->spawn('status', Reconciler::Daemon::program(), @arguments);
	$process->wait_for_end(60);
	return ($process->status >> 8, $process->output);
}

# Without any worker
my ($code, $output) = run('status');
is($code, 2, 'status: critical without a worker');
like($output, qr/^critical workers_off: no reconcilerd runs, and reconciler\.workers is 0\n    ALTER SYSTEM SET reconciler\.workers = 2/m, 'and what to do');

# With one
my $daemon = Reconciler::Daemon->start($node, worker_id => 'one');
my $address = $chain->new_address;
$chain->set_balance($address, '4711');
my $id = add_request($node, address => $address, amount => 4711);
wait_for_status($node, $id, 'confirmed');
$node->safe_psql('postgres', "INSERT INTO odd (id, address_canonical, expected_amount_minor) VALUES (E'x\\x1b]0;owned\\x07', '$address', 1)");
wait_for_sql($node, q{SELECT count(*) = 1 FROM reconciler.transitions WHERE source LIKE '%odd' AND to_status = 'confirmed'}, 'a request with an odd id is confirmed');
ok(wait_until(sub { ($code, $output) = run('status'); $code == 0 && $output =~ / good / }), 'status: ok') or diag($output);
like($output, qr/\Aok: nothing is wrong\n/, 'it says so');
like($output, qr/^NETWORKS\nnetwork .*\nethereum\/local +asked +0 /m, 'networks');
like($output, qr/^WORKERS\nworker .*\none +reconcilerd /m, 'workers');
like($output, qr/^ENDPOINTS\nnetwork .*\nethereum\/local +http:\/\/…\@127\.0\.0\.1:\d+ +good +[1-9]/m, 'endpoints');
unlike($output, qr/s3cret/, 'no secret');
($code, $output) = run('status', '--json');
is($code, 0, 'status --json');
my $status = decode_json($output);
is_deeply([ $status->{severity}, scalar @{ $status->{findings} }, map { scalar @{ $status->{$_} } } qw(networks workers endpoints) ], [ 'ok', 0, 1, 1, 1 ], 'for machines');
is(scalar @{ $status->{endpoints}[0]{latency_ms} }, 20, 'with histograms');
($code, $output) = run('top', '--once');
is($code, 0, 'top --once');
like($output, qr/^LAST TRANSITIONS\nat .*\n.*-> confirmed .*\n/m, 'the last transitions');
like($output, qr/^\S+ +\S+odd +x\?\]0;owned\? /m, 'a request can say nothing to the terminal');
unlike($output, qr/\e|\a|4711/, 'nor is an amount shown');
my ($healthy, $complaint) = $daemon->healthcheck;
is("$healthy $complaint", '0 ', 'healthcheck');

# A pseudo-terminal
sub start_top
{
	my ($rows, $columns, @arguments) = @_;
	my $pty = IO::Pty->new;
	my $slave = $pty->slave;
	$pty->set_winsize($rows, $columns);
	my $pid = fork() // die "fork: $!\n";
	if (!$pid)
	{
		$pty->make_slave_controlling_terminal;
		close $pty;
		open STDIN, '<&', $slave;
		open STDOUT, '>&', $slave;
		open STDERR, '>&', $slave;
		%ENV = %environment;
		exec Reconciler::Daemon::program(), 'top', @arguments or POSIX::_exit(127);
	}
	$pty->blocking(0);
	return { pid => $pid, pty => $pty, slave => $slave, seen => '' };
}
sub read_more
{
	my ($top) = @_;
	my $more;
	$top->{seen} .= $more if sysread $top->{pty}, $more, 65536;
	return;
}
sub saw
{
	my ($top, $pattern, $name) = @_;
	return ok(wait_until(sub { read_more($top); $top->{seen} =~ $pattern }, 30), $name)
	  || diag($top->{seen} =~ s/\e/<ESC>/gr);
}
sub ends
{
	my ($top, $name) = @_;
	my $ended = wait_until(sub { read_more($top); waitpid($top->{pid}, POSIX::WNOHANG()) == $top->{pid} }, 20);
	kill 'KILL', $top->{pid} unless $ended;
	return ok($ended && $? == 0, $name) || diag("status $?");
}
sub flags { my ($top) = @_; my $termios = POSIX::Termios->new; $termios->getattr(fileno $top->{slave}); return $termios->getlflag }

my $top = start_top(60, 200, '--interval-seconds=0.2');
my $before = flags($top);
saw($top, qr/\e\[\?1049h/, 'top takes the screen');
saw($top, qr/\e\[1mNETWORKS.*ethereum\/local.*WORKERS.*one .*ENDPOINTS.*good.*LAST TRANSITIONS.*confirmed/s, 'it shows networks, workers, endpoints and transitions');
unlike($top->{seen}, qr/\e\]|\a/, 'no sequence but its own');
add_request($node, address => $chain->new_address, amount => 1);
$proxy->set(mode => 'answer', status => 401, body => 'no');
saw($top, qr/\e\[1;31mcritical endpoints_all_bad ethereum\/local: endpoint \S+ is refused: HTTP 401/, 'what goes wrong meanwhile');
print { $top->{pty} } 'q';
ends($top, 'q ends it');
like($top->{seen}, qr/\e\[\?25h\e\[\?1049l\z/, 'the screen is given back');
is(flags($top), $before, 'the terminal is as it was');

# A small one is not overrun, and a signal ends it as well
$top = start_top(12, 60, '--interval-seconds=0.2');
saw($top, qr/\e\[J.*\e\[H.*\e\[J/s, 'two pictures in a small terminal');
my ($picture) = $top->{seen} =~ /\e\[H(.*?)\e\[J/s;
my @lines = split /\r+\n/, $picture =~ s/\e\[[0-9;]*[mK]//gr;
cmp_ok(scalar @lines, '<=', 11, 'of few lines');
utf8::decode($_) for @lines;
is(scalar(grep { length > 59 } @lines), 0, 'none of them too long') or diag(join "\n", map { length . " $_" } @lines);
kill 'TERM', $top->{pid};
ends($top, 'SIGTERM ends it');

($code, $output) = run('status');
is($code, 2, 'status: critical');
like($output, qr/endpoints_all_bad/, 'and why');
($healthy, $complaint) = $daemon->healthcheck;
is($healthy, 0, 'a restart of the daemon would not help');
like($complaint, qr/^endpoints_all_bad ethereum\/local: /m, 'but its healthcheck tells');

# Who can't, and what can't
($code, $output) = run('top');
is($code, 3, 'top needs a terminal');
like($output, qr/with --once it prints one picture/, 'or --once');
$environment{DATABASE_URL} = Reconciler::Daemon::url($node, user => 'nobody');
($code, $output) = run('status');
is($code, 3, 'a role that may not look');
like($output, qr/permission denied.*in pg_monitor\?/s, 'is told what it needs');
$environment{DATABASE_URL} = 'postgresql://monitor@127.0.0.1:1/postgres';
($code, $output) = run('status', '--database-wait-seconds=0');
is($code, 3, 'no database');
like($output, qr/the database can't be reached/, 'is said');
($code, $output) = run('state');
is($code, 78, 'an unknown command');
is($daemon->terminate(30), 0, 'the daemon stops');

done_testing();
