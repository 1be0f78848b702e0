# The programs of docs/examples do what they say, against real workers and a real
# chain: a request is created, waited for, shipped exactly once by many at a time,
# cancelled, and brought to an end after a partial and a late payment. A language
# that isn't there is skipped.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

# Where Go installs itself
$ENV{PATH} .= ':/usr/local/go/bin';
my $examples = "$FindBin::RealBin/../../docs/examples";
my $node = new_node(workers => 2);
my $chain = start_anvil();
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE shop_app LOGIN;
GRANT CREATE ON SCHEMA public TO shop_app;
SELECT reconciler.grant_app('shop_app');
SELECT reconciler.add_network('ethereum', 'local', ARRAY['@{[ $chain->url ]}'], chain_id => @{[ $chain->chain_id ]});
SQL
my ($status, undef, $error) = $node->psql('postgres', "SET ROLE shop_app;\n\\i $examples/schema.sql", on_error_stop => 1);
is($status, 0, 'schema.sql') or diag($error);
is($error, '', 'without a warning');

my %environment = (PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'shop_app', PGDATABASE => 'postgres');
my $ether = 1_000_000_000_000_000_000;

# What the program prints
sub shop
{
	my ($program, @arguments) = @_;
	local %ENV = (%ENV, %environment, %{ $program->{environment} });
	my ($out, $failure) = ('', '');
	IPC::Run::run([ @{ $program->{command} }, @arguments ], '>', \$out, '2>', \$failure) or diag("@arguments: $failure");
	chomp $out;
	return $out;
}

# Many of them at a time
sub ship_many
{
	my ($program, $id, $n) = @_;
	local %ENV = (%ENV, %environment, %{ $program->{environment} });
	my @out = ('') x $n;
	my @runs = map { IPC::Run::start([ @{ $program->{command} }, 'ship', $id ], '>', \$out[$_]) } 0 .. $n - 1;
	$_->finish for @runs;
	return join ',', sort map { s/\n//r } @out;
}

sub try_program
{
	my ($name, $program) = @_;
	my $address = $chain->new_address;
	my $id = shop($program, 'create', $address, '0.100000000000000001', 600);
	like($id, qr/^\d+$/, "$name: create") or return;
	is($node->safe_psql('postgres', "SELECT expected FROM reconciler.queue WHERE request_id = '$id'"), '100000000000000001', "$name: to the last wei");
	is(shop($program, 'wait', $id, 0), 'awaiting_payment 0 of 0.100000000000000001', "$name: nothing was paid yet");
	is(shop($program, 'ship', $id), 'not shipped', "$name: nothing is shipped");
	$chain->send_eth($address, '100000000000000001');
	is(shop($program, 'wait', $id, 120), 'paid 0.100000000000000001 of 0.100000000000000001', "$name: wait");
	is(ship_many($program, $id, 3), 'not shipped,not shipped,shipped', "$name: shipped once");
	is(shop($program, 'cancel', $id), 'not cancelled', "$name: what is paid isn't cancelled");

	$id = shop($program, 'create', $chain->new_address, 1, 600);
	is(shop($program, 'cancel', $id), 'cancelled', "$name: cancel");
	is(shop($program, 'ship', $id), 'not shipped', "$name: what is cancelled isn't shipped");

	$address = $chain->new_address;
	$id = shop($program, 'create', $address, 1, 2);
	$chain->send_eth($address, $ether / 10 * 4);
	is(shop($program, 'wait', $id, 120), 'expired 0.4 of 1', "$name: a partial payment");
	is(shop($program, 'ship', $id), 'not shipped', "$name: isn't enough");
	$chain->send_eth($address, $ether / 10 * 6);
	is(shop($program, 'extend', $id, 600), 'extended', "$name: a late one");
	is(shop($program, 'wait', $id, 120), 'paid 1 of 1', "$name: is taken");
	is(shop($program, 'ship', $id), 'shipped', "$name: and shipped");
	is(shop($program, 'extend', $id, 600), 'not extended', "$name: nothing to extend");
	return;
}

# Where the libraries of a language are; undef: they aren't
sub tools
{
	my ($language, $check) = @_;
	my $dir = qx("$FindBin::RealBin/../example-tools" $language);
	chomp $dir;
	return if $dir eq '';
	my %environment = (PYTHONPATH => $dir, NODE_PATH => "$dir/node_modules", GOMODCACHE => $dir);
	local %ENV = (%ENV, %environment, PYTHONDONTWRITEBYTECODE => 1);
	my $found = eval { IPC::Run::run($check, '>', '/dev/null', '2>', '/dev/null') };
	return $found ? { %environment, PYTHONDONTWRITEBYTECODE => 1 } : undef;
}

my $work = $node->basedir;
my $python = tools('python', [ 'python3', '-c', 'import psycopg, django' ]);
my $javascript = tools('node', [ 'node', '-e', 'require("pg")' ]);
my $go = tools('go', [ 'go', 'version' ]);
SKIP:
{
	skip 'no Python with psycopg and Django', 1 if !defined $python;
	try_program('python', { command => [ 'python3', "$examples/python/shop.py" ], environment => $python });
	try_program('django', { command => [ 'python3', "$examples/django/shop.py" ], environment => $python });
}
SKIP:
{
	skip 'no Node with pg', 1 if !defined $javascript;
	try_program('node', { command => [ 'node', "$examples/node/shop.js" ], environment => $javascript });
}
SKIP:
{
	skip 'no Go with pgx', 1 if !defined $go;
	local %ENV = (%ENV, %$go, GOPROXY => 'off', GOFLAGS => '-mod=readonly', GOTOOLCHAIN => 'local', GOCACHE => "$work/go-cache", GOPATH => "$work/go");
	mkdir "$work/src";
	for my $file (qw(main.go go.mod go.sum)) { IPC::Run::run([ 'cp', "$examples/go/$file", "$work/src" ]) or die; }
	IPC::Run::run([ 'cp', '-r', "$go->{GOMODCACHE}/build", "$work/go-cache" ]) if -d "$go->{GOMODCACHE}/build";
	my $output = '';
	my $built = IPC::Run::run([ 'go', 'build', '-C', "$work/src", '-o', "$work/shop", '.' ], '>&', \$output);
	ok($built, 'go builds it') or diag($output);
	try_program('go', { command => ["$work/shop"], environment => {} }) if $built;
}

# schema.prisma is the table
my $prisma = slurp_file("$examples/node/schema.prisma");
my ($model) = $prisma =~ /model PaymentRequest \{(.*?)\n\}/s;
my @columns = sort map { /\@map\("(\w+)"\)/ ? $1 : /^\s+(\w+)/ ? $1 : () } grep { /^\s+\w+\s+(BigInt|String|Decimal|DateTime)/ } split /\n/, $model;
is(join(' ', @columns), $node->safe_psql('postgres',
	"SELECT string_agg(attname, ' ' ORDER BY attname COLLATE \"C\") FROM pg_attribute WHERE attrelid = 'payment_requests'::regclass AND attnum > 0"),
	'schema.prisma names the columns');

$node->stop;
done_testing();
