# A person who knows PostgreSQL but not this project asks: is it working, how far behind, which endpoint is bad, why
# is X pending, what happened last night, what do I set to go twice as fast, how do I upgrade, what do I do when this
# alert fires. Each situation is made, and the answer read from a view, health(), explain() or docs/operations.md;
# which explains every line that the code logs and every code of health().
use strict;
use warnings;

use File::Find;
use FindBin;
use Reconciler::Test;
use Test::More;

my $top = "$FindBin::Bin/../..";

sub slurp
{
	my ($file) = @_;
	open my $handle, '<:encoding(UTF-8)', $file or die "$file: $!\n";
	local $/;
	return scalar <$handle>;
}
my $docs = slurp("$top/docs/operations.md");
my (@c, @sql);
find({ no_chdir => 1, wanted => sub { push @c, $_ if /\.c\z/; push @sql, $_ if /\.sql\z/ } }, "$top/src");

# Section of the docs
sub section
{
	my ($title) = @_;
	my ($text) = $docs =~ /^##+ \Q$title\E\n(.*?)(?=^##? |\z)/ms;
	return $text // '';
}

# Every line of the log
my ($lines) = section('The log') =~ /(### Every line.*)/s;
$lines = section('Every line') unless $lines;
my %logged;
for my $text (map { slurp($_) } sort @c)
{
	$logged{$1}++ while $text =~ /rc_(?:log_event|log_change|daemon_log)\([^;"]*?"([^"]+)"/g;
}
cmp_ok(scalar keys %logged, '>', 25, 'the code logs lines');
like($lines, qr/`\Q$_\E`/, "docs explain the line: $_") for sort keys %logged;
my %raised;
for my $text (map { slurp($_) } sort @sql)
{
	$raised{$1 =~ s/ *[^ ]*%.*//sr =~ s/ *:.*//r =~ s/''/'/gr}++ while $text =~ /RAISE (?:LOG|WARNING) '((?:[^']|'')+)'/g;
}
like($lines, qr/\Q$_\E/, "docs explain the line of SQL: $_") for sort grep { length } keys %raised;

# Every alert
my %codes;
for my $text (map { slurp($_) } grep { m{/(?:62|81)_} } sort @sql)
{
	while ($text =~ /CREATE FUNCTION _?health\w*\(\).*?\$\$(.*?)\$\$/gs)
	{
		my $body = $1;
		$codes{$1}++ while $body =~ /'(?:critical|warning|info)'(?: END)?,\s*'(\w+)'/g;
		$codes{$1}++ while $body =~ /(?:THEN|ELSE) '([a-z]+_[a-z_]+)'/g;
		$codes{$1}++ while $body =~ /, '((?:lease|poll|tip_age|verify)_\w+)', /g;
	}
}
cmp_ok(scalar keys %codes, '>', 30, 'health has codes');
my $alerts = section('Alerts');
like($alerts, qr/^\|[^|]*`$_`[^|]*\| \S/m, "docs say what to do about $_") for sort keys %codes;

# Is it working?
my $node = new_node(workers => 1);
my $chain = start_anvil();
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "', '" . $chain->url . "']", confirmations => 1);
$node->safe_psql('postgres', 'CREATE ROLE monitor LOGIN IN ROLE pg_monitor');
my $monitor = Reconciler::Session->new($node->connstr('postgres') . ' user=monitor');
my $codes = q{SELECT coalesce(string_agg(DISTINCT code, ','), '') FROM reconciler.health()};
sub comes { my ($name, $condition) = @_; return ok(wait_until($condition, 60), $name) || diag($monitor->value('SELECT string_agg(h::text, chr(10)) FROM reconciler.health() h')) }

my $address = $chain->new_address;
$chain->set_balance($address, '1000');
my $id = add_request($node, address => $address, amount => 1000);
wait_for_status($node, $id, 'confirmed');
comes('is it working? health has nothing to say', sub { $monitor->value($codes) eq '' });
set_workers($node, 0);
comes('and says what is missing when it is not', sub { $monitor->value($codes) =~ /workers_off/ });
my $hint = $monitor->value(q{SELECT hint FROM reconciler.health() WHERE code = 'workers_off'});

# How far behind? Why is it pending?
my $pending = add_request($node, address => $chain->new_address, amount => 1000);
$node->safe_psql('postgres', q{UPDATE reconciler.batches SET due_at = clock_timestamp() - interval '20 minutes' WHERE network_id <> 0});
is($monitor->value(q{SELECT due_requests || ' ' || (overdue_since < now() - interval '19 minutes') FROM reconciler.stat_networks}), '1 true', 'how far behind? stat_networks');
like($node->safe_psql('postgres', "SELECT value FROM reconciler.explain('payment_requests', '$pending') WHERE item = 'waits for'"), qr/overdue: too few workers, or none/,
	'why is it pending? explain');
like($monitor->value($codes), qr/overdue/, 'and an alert');

# What the hint says helps
for my $statement (split /;\s*/, $hint)
{
	$node->safe_psql('postgres', $statement);
}
comes('what the hint says to do ends the alert', sub { $monitor->value($codes) eq '' });
like($node->safe_psql('postgres', "SELECT value FROM reconciler.explain('payment_requests', '$pending') WHERE item = 'waits for'"), qr/a payment/, 'it waits for a payment now');

# Which endpoint is bad?
$proxy->set(mode => 'answer', status => 401, body => 'no');
comes('which endpoint is bad? stat_endpoints', sub { ($monitor->value(q{SELECT endpoint || ' ' || error_code FROM reconciler.stat_endpoints WHERE state IN ('refused', 'mixed')}) // '') eq $proxy->url . ' refused' });
like($monitor->value(q{SELECT hint FROM reconciler.health() WHERE code = 'endpoint_bad'}), qr/credentials/, 'and what to do');
$proxy->set(mode => 'pass');

# What happened last night?
$node->safe_psql('postgres', q{UPDATE reconciler.transitions SET at = at - interval '10 hours'});
is($monitor->value(q{SELECT request_id || ' ' || reason FROM reconciler.history WHERE at < now() - interval '9 hours' AND to_status = 'confirmed'}), "$id settled", 'what happened last night? history');

# What do I set to go twice as fast?
my ($faster) = section('Sizing and scaling') =~ /1\. .*?`(ALTER SYSTEM SET reconciler\.workers = 4; SELECT pg_reload_conf\(\);)`/s;
ok($faster, 'what do I set to go twice as fast? The docs say it');
$node->safe_psql('postgres', $_) for split /;\s*/, $faster // '';
wait_for_sql($node, q{SELECT count(*) = 4 FROM reconciler.stat_workers WHERE state <> 'stopped'}, 'and it does what they say');
my ($slower) = section('Sizing and scaling') =~ /`SELECT (reconciler\.set_network\([^`]*)`/;
(my $local = $slower // '') =~ s/'mainnet'/'local'/;
$node->safe_psql('postgres', "SELECT $local");
is($monitor->value('SELECT poll_interval FROM reconciler.network_settings'), '00:00:07', 'so does a change of the poll interval');

# How do I upgrade?
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'reconciler'});
like($monitor->value(q{SELECT hint FROM reconciler.health() WHERE code = 'versions_differ'}), qr/ALTER EXTENSION reconciler UPDATE/, 'how do I upgrade? The alert says it');
like(section('Upgrade'), qr/Restart the server.*ALTER EXTENSION reconciler UPDATE.*Restart each reconcilerd/s, 'and the docs, in order');
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = reconciler._library_version() WHERE extname = 'reconciler'});

# Pausing, as the docs have it
my @statements = section('Pausing, and looking at once') =~ /^(SELECT [^;]*);/mg;
is(scalar @statements, 4, 'statements of the docs');
for my $statement (@statements)
{
	(my $here = $statement) =~ s/'mainnet'/'local'/;
	$here =~ s/'app\.payment_requests', '42'/'payment_requests', '$pending'/;
	my ($status, $out, $error) = $node->psql('postgres', $here);
	is($status, 0, $here) or diag($error);
}

done_testing();
