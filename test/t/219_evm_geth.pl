# A real geth as the chain: tokens by events, coins by blocks and traces (flatCallTracer: it has no trace_block), and a
# reorganisation by debug_setHead, after which its log index is not there for a while
#
# GETH names its executable (go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.10); without it the test is skipped.

use strict;
use warnings;

use File::Temp;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use Reconciler::Evm qw(%code address_word);
use Reconciler::Http;
use Reconciler::Process;
use Reconciler::Test;

plan skip_all => 'GETH does not name the executable of geth' unless $ENV{GETH} && -x $ENV{GETH};

my $home = File::Temp->newdir;
my $port = Reconciler::Process::free_port();
my $process = Reconciler::Process->spawn('geth', $ENV{GETH}, '--dev', '--datadir', "$home", '--http', '--http.port', $port,
	'--http.api', 'eth,debug,net', '--authrpc.port', Reconciler::Process::free_port(), '--port', 0, '--nodiscover', '--ipcdisable');
my $chain = bless { chain_id => 1337, id => 0, port => $port, http => Reconciler::Http->new("http://127.0.0.1:$port"), process => $process },
  'Reconciler::Chain';
ok(wait_until(sub { eval { $chain->{accounts} = $chain->rpc('eth_accounts') } }, 60), 'geth runs');
my $owner = ($chain->accounts)[0];

# It makes a block for each transaction
sub mine
{
	my ($n) = @_;
	$chain->transact({ to => $owner, value => '0x0' }) for 1 .. $n;
	return;
}

my $token = $chain->deploy_token;
my %payer = map { $_ => lc $chain->transact({ data => $code{$_} })->{contractAddress} } qw(disperse half);
mine(1);
my $node = new_node(workers => 2);
set_up_shop($node, $chain, confirmations => 3, tokens => "'logs'", native => "'blocks'", traces => 'true', tip_interval => "'100ms'");
my (%address, %id);
for my $name (qw(token native exchange half undone))
{
	$address{$name} = Reconciler::Chain::new_address();
	$id{$name} = add_request($node, address => $address{$name}, amount => 1000, token => $name =~ /token|undone/ ? $token : undef);
}

sub payments
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(kind || ' ' || amount || ' ' || coalesce(sender, '-'), ', ') FROM reconciler.payments"
		  . " WHERE request_id = '$id{$name}' AND gone_at IS NULL");
}

$chain->transfer_token($token, $address{token}, 1000);
$chain->send_eth($address{native}, 1000);
$chain->transact({ to => $payer{disperse}, value => '0x7d0', data => '0x' . join '', map { address_word($_) } $address{exchange}, $owner });
$chain->transact({ to => $payer{half}, value => '0x7d0', data => '0x' . address_word($address{half}), gas => '0x100000' });
mine(3);
wait_for_status($node, $id{$_}, 'confirmed') for qw(token native exchange half);
is(payments('token'), "token 1000 $owner", 'a token payment, and who paid it');
is(payments('native'), "native 1000 $owner", "a transaction's coins");
is(payments('exchange'), "internal 1000 $payer{disperse}", 'what a contract pays');
is(payments('half'), "internal 1000 $payer{half}", 'without what was paid in a call that failed');
is($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.payments WHERE unverified"), 0, 'all of it is verified');

# Its head is set back: the payment's block is gone, and others come in its place
my $before = $chain->height;
$chain->transfer_token($token, $address{undone}, 1000);
wait_for_status($node, $id{undone}, 'detected');
$chain->rpc('debug_setHead', sprintf '0x%x', $before);
is($chain->height, $before, 'the head is set back');
mine(3);
wait_for_sql($node, "SELECT gone_at IS NOT NULL FROM reconciler.payments WHERE request_id = '$id{undone}'", 'the payment is undone');
$chain->transfer_token($token, $address{undone}, 1001);
mine(3);
wait_for_status($node, $id{undone}, 'confirmed', name => 'the second one is confirmed');
is(payments('undone'), "token 1001 $owner", 'it alone counts');

$node->stop;
$process->stop;
done_testing();
