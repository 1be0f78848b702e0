# A private EVM chain (anvil) for tests: started, paid on, reorganised, stopped.
#
#   my $chain = Reconciler::Chain->start(block_time => 1);
#   my $token = $chain->deploy_token;
#   $chain->send_eth($address, '1000000000000000000');
#   $chain->rpc('evm_mine');
#
# Amounts are minor units, in decimal; addresses and hashes are 0x…, lower case.
package Reconciler::Chain;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp;
use JSON::PP;
use Math::BigInt;
use Time::HiRes qw(sleep time);

use Reconciler::Http;
use Reconciler::Process;

# An ERC-20 with balanceOf, transfer and decimals() = 6; its deployer owns 2^64 - 1 units
my $token_code = '0x'
  . '67ffffffffffffffff335560988060166000396000f3'
  . '60003560e01c806370a08231146033578063a9059cbb1460405763313ce5671460285760006000fd'
  . '5b600660005260206000f3'
  . '5b6004355460005260206000f3'
  . '5b6024353354818110609257819003335580600435540160043555600052600435337fddf252ad1be2c8'
  . '9b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3600160005260206000f3'
  . '5b60006000fd';

my $json = JSON::PP->new->utf8->canonical->allow_bignum;
my $addresses = 0;

# Options: chain_id (31337), block_time (seconds; default: a block per transaction), args (list)
sub start
{
	my ($class, %options) = @_;
	my $anvil = $ENV{ANVIL} or die "anvil is missing: run test/setup, or set ANVIL to its path\n";
	my $self = bless {
		chain_id => $options{chain_id} // 31337,
		id => 0,
	}, $class;

	# Another process may take the port between our look and anvil's bind
	for my $try (1 .. 5)
	{
		$self->{port} = Reconciler::Process::free_port();
		$self->{http} = Reconciler::Http->new($self->url);
		my @command = (
			$anvil, '--host', '127.0.0.1', '--port', $self->{port},
			'--chain-id', $self->{chain_id}, '--silent', @{ $options{args} // [] });
		push @command, '--block-time', $options{block_time} if $options{block_time};
		$self->{process} = Reconciler::Process->spawn('anvil', @command);
		if ($self->_wait_until_ready)
		{
			$self->{accounts} = $self->rpc('eth_accounts');
			return $self;
		}
		$self->{process}->stop;
	}
	die 'anvil does not start: ' . $self->{process}->output . "\n";
}

sub _wait_until_ready
{
	my ($self) = @_;
	my $deadline = time() + 30;
	while (time() < $deadline && $self->{process}->is_running)
	{
		my $id = eval { $self->rpc('eth_chainId') };
		return $self->{process}->is_running if defined $id && hex($id) == $self->{chain_id};
		sleep 0.02;
	}
	return 0;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }
sub port { my ($self) = @_; return $self->{port} }
sub chain_id { my ($self) = @_; return $self->{chain_id} }
sub accounts { my ($self) = @_; return @{ $self->{accounts} } }

# One JSON-RPC call; dies with the node's message
sub rpc
{
	my ($self, $method, @params) = @_;
	my $answer = $self->_post(_call(++$self->{id}, $method, \@params));
	die "$method: " . ($answer->{error}{message} // 'failed') . "\n" if $answer->{error};
	return $answer->{result};
}

# Many calls in one request, each [method, params…]; results in order
sub rpc_batch
{
	my ($self, @calls) = @_;
	my @results;
	while (my @chunk = splice @calls, 0, 500)
	{
		my %position;
		my @bodies;
		for my $call (@chunk)
		{
			my ($method, @params) = @$call;
			$position{ ++$self->{id} } = @results + @bodies;
			push @bodies, _call($self->{id}, $method, \@params);
		}
		for my $answer (@{ $self->_post(\@bodies) })
		{
			die $answer->{error}{message} . "\n" if $answer->{error};
			$results[ $position{ $answer->{id} } ] = $answer->{result};
		}
	}
	return @results;
}

sub _call
{
	my ($id, $method, $params) = @_;
	return { jsonrpc => '2.0', id => $id, method => $method, params => $params };
}

sub _post
{
	my ($self, $body) = @_;
	my $text = $self->{http}->post($json->encode($body));
	return $json->decode($text);
}

# A decimal amount as JSON-RPC writes quantities
sub quantity
{
	my ($amount) = @_;
	return Math::BigInt->new($amount)->as_hex;
}

sub _word
{
	my ($value) = @_;
	$value =~ s/^0x//;
	return ('0' x (64 - length $value)) . lc $value;
}

# An address that nobody has used yet
sub new_address
{
	return '0x' . substr(sha256_hex(join '/', $$, time(), ++$addresses), 0, 40);
}

# Sends a transaction from the first account, and waits until it is mined (mine => 0: doesn't wait)
sub transact
{
	my ($self, $transaction, %options) = @_;
	my $hash = $self->rpc('eth_sendTransaction', { from => $self->{accounts}[0], %$transaction });
	return ($options{mine} // 1) ? $self->receipt($hash) : $hash;
}

sub receipt
{
	my ($self, $hash) = @_;
	my $deadline = time() + 60;
	while (time() < $deadline)
	{
		my $receipt = $self->rpc('eth_getTransactionReceipt', $hash);
		return $receipt if $receipt;
		sleep 0.02;
	}
	die "transaction $hash is not mined\n";
}

sub send_eth
{
	my ($self, $to, $amount, %options) = @_;
	return $self->transact({ to => $to, value => quantity($amount) }, %options);
}

# A balance without a transaction, as an internal transfer leaves it
sub set_balance
{
	my ($self, $address, $amount) = @_;
	return $self->rpc('anvil_setBalance', $address, quantity($amount));
}

# Many balances at once: [address, amount, token or undef], …; they are in the state from the next block on
sub set_balances
{
	my ($self, @balances) = @_;
	$self->rpc_batch(map {
		my ($address, $amount, $token) = @$_;
		# The token keeps a holder's balance in the slot that the address is the number of
		$token
		  ? [ 'anvil_setStorageAt', $token, '0x' . _word($address), '0x' . _word(quantity($amount)) ]
		  : [ 'anvil_setBalance', $address, quantity($amount) ];
	} @balances);
	return;
}

sub deploy_token
{
	my ($self, $code) = @_;
	return lc $self->transact({ data => $code // $token_code })->{contractAddress};
}

sub transfer_token
{
	my ($self, $token, $to, $amount, %options) = @_;
	my $receipt = $self->transact(
		{ to => $token, data => '0xa9059cbb' . _word($to) . _word(quantity($amount)) }, %options);
	die "transfer failed\n" if ref $receipt && hex($receipt->{status}) != 1;
	return $receipt;
}

sub mine
{
	my ($self, $blocks, $interval) = @_;
	return $self->rpc('anvil_mine', quantity($blocks // 1), defined $interval ? quantity($interval) : ());
}

sub height { my ($self) = @_; return hex $self->rpc('eth_blockNumber') }

# Until resume, the node accepts connections and answers nothing
sub suspend { my ($self) = @_; return $self->{process}->signal('STOP') }
sub resume { my ($self) = @_; return $self->{process}->signal('CONT') }

sub stop
{
	my ($self) = @_;
	return $self->{process}->stop;
}

1;
