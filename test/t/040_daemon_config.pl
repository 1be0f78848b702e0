# reconcilerd refuses to start on a bad configuration, with a named code and exit 78.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

# What a daemon says that doesn't start: its only line
sub refused
{
	my ($node, $code, %options) = @_;
	my $name = delete $options{name} // $code;
	my $daemon = Reconciler::Daemon->start($node, %options);
	is($daemon->exit_code, 78, "$name: exit code");
	my @lines = split /\n/, $daemon->log;
	like($lines[-1] // '', qr/^\S+ error \Q$code\E: .+/, "$name: code");
	is(scalar(grep { /CONFIG_/ } @lines), 1, "$name: one line");
	unlike($daemon->log, qr/planted/, "$name: no secret");
	return $daemon;
}

# Without any database

my $daemon = refused(undef, 'CONFIG_RECONCILER_LEASE_SECONDS_INVALID', env => { RECONCILER_LEASE_SECONDS => '0' });
like($daemon->log, qr/RECONCILER_LEASE_SECONDS is "0": give a number of seconds from 1 to 3600/, 'says what to give');
refused(undef, 'CONFIG_RECONCILER_LEASE_SECONDS_INVALID',
	name => 'older name', env => { PAYMENT_REQUEST_RECONCILER_LEASE_SECONDS => 'ten' });
refused(undef, 'CONFIG_RECONCILER_POLL_INTERVAL_SECONDS_INVALID', args => ['--poll-interval-seconds=-1']);
refused(undef, 'CONFIG_RECONCILER_BATCH_SIZE_INVALID', args => [ '--batch-size', '1000' ]);
refused(undef, 'CONFIG_RECONCILER_WORKER_ID_INVALID', env => { RECONCILER_WORKER_ID => "two\nlines" });
refused(undef, 'CONFIG_RECONCILER_LOG_LEVEL_INVALID', env => { RECONCILER_LOG_LEVEL => 'loud' });
refused(undef, 'CONFIG_RECONCILER_LOG_FORMAT_INVALID', args => ['--log-format=xml']);
refused(undef, 'CONFIG_RECONCILER_LOG_CYCLES_INVALID', env => { RECONCILER_LOG_CYCLES => 'none' });
refused(undef, 'CONFIG_RECONCILER_ENABLED_INVALID', env => { RECONCILER_ENABLED => 'perhaps' });
refused(undef, 'CONFIG_RECONCILER_DATABASE_WAIT_SECONDS_INVALID', env => { RECONCILER_DATABASE_WAIT_SECONDS => 'inf' });
refused(undef, 'CONFIG_RECONCILER_STATEMENT_TIMEOUT_SECONDS_INVALID', env => { RECONCILER_STATEMENT_TIMEOUT_SECONDS => '0x10' });
refused(undef, 'CONFIG_RECONCILER_WORKER_ID_INVALID', name => "worker id: $_->[0]", args => ["--worker-id=$_->[1]"])
  for [ 'a blank', 'a b' ], [ 'quotes', 'a"b' ], [ 'an equals sign', 'a=b' ], [ 'writing direction', "a\xe2\x80\xaeb" ], [ 'length', 'x' x 101 ];
refused(undef, 'CONFIG_FLAG_INVALID', args => ['--once=yes']);
refused(undef, 'CONFIG_RECONCILER_WORKER_ID_INVALID', name => 'a flag without its value', args => ['--worker-id']);
refused(undef, 'CONFIG_RECONCILER_EVM_RPC_URLS_JSON_INVALID',
	env => { RECONCILER_EVM_RPC_URLS_JSON => '{"local":"planted://127.0.0.1/planted"}' });
refused(undef, 'CONFIG_RECONCILER_BTC_ESPLORA_BASE_URL_INVALID',
	env => { RECONCILER_BTC_ESPLORA_BASE_URL => 'planted.example/api' });
refused(undef, 'CONFIG_DATABASE_URL_MISSING', env => { DATABASE_URL => '' });
refused(undef, 'CONFIG_DATABASE_URL_INVALID', env => { DATABASE_URL => 'planted-password' });
refused(undef, 'CONFIG_DATABASE_URL_INVALID',
	name => 'password not encoded', env => { DATABASE_URL => 'postgresql://u:planted@planted@localhost/shop' });
refused(undef, 'CONFIG_FLAG_UNKNOWN', args => ['--leese-seconds=1']);
refused(undef, 'CONFIG_RECONCILER_HEARTBEAT_FILE_INVALID',
	env => { RECONCILER_HEARTBEAT_FILE => '/nonexistent/directory/file' });

# Logging as asked, for complaints too
my $json = Reconciler::Daemon->start(undef, env => { RECONCILER_LOG_FORMAT => 'json', RECONCILER_BATCH_SIZE => 'x' });
is($json->exit_code, 78, 'JSON: exit code');
like($json->log, qr/^\{"time":"[^"]+","level":"error","event":"not started",.*"code":"CONFIG_RECONCILER_BATCH_SIZE_INVALID","message":"CONFIG_RECONCILER_BATCH_SIZE_INVALID: .*\}\n\z/, 'JSON: line');

# Off, whatever the rest
my $off = Reconciler::Daemon->start(undef, env => { RECONCILER_ENABLED => 'false', DATABASE_URL => '' });
is($off->exit_code, 0, 'not enabled: exit code');
like($off->log, qr/not enabled/, 'not enabled: says so');
$off = Reconciler::Daemon->start(undef, env => { PAYMENT_REQUEST_RECONCILER_ENABLED => '0' });
is($off->exit_code, 0, 'not enabled by the older name');

for my $flag ('--help', '--version')
{
	my $asked = Reconciler::Daemon->start(undef, args => [$flag], env => { DATABASE_URL => '' });
	is($asked->exit_code, 0, "$flag: exit code");
	like($asked->output, qr/^reconcilerd \d+\.\d+\.\d+/, "$flag: output");
}

# With databases that it can't work with

my $closed = Reconciler::Process::free_port();
refused(undef, 'CONFIG_DATABASE_UNREACHABLE',
	env => {
		DATABASE_URL => "postgresql://shop:planted-password\@127.0.0.1:$closed/shop",
		RECONCILER_DATABASE_WAIT_SECONDS => 0
	});

my $node = new_node(extension => 0);
$daemon = refused($node, 'CONFIG_EXTENSION_MISSING');
like($daemon->log, qr/CREATE EXTENSION reconciler/, 'missing extension: says what to do');
refused($node, 'CONFIG_DATABASE_UNREACHABLE',
	name => 'no such database', database => 'nowhere', env => { RECONCILER_DATABASE_WAIT_SECONDS => 0 });

$node->safe_psql('postgres', 'CREATE EXTENSION reconciler; CREATE ROLE nobody_special LOGIN;');
$daemon = refused($node, 'CONFIG_PRIVILEGES_MISSING', user => 'nobody_special');
like($daemon->log, qr/grant_worker\('nobody_special'\)/, 'missing privileges: says what to do');

$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'reconciler'});
$daemon = refused($node, 'CONFIG_EXTENSION_TOO_OLD');
like($daemon->log, qr/ALTER EXTENSION reconciler UPDATE/, 'old extension: says what to do');

$node->stop;
done_testing();
