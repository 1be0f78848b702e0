# A Bitcoin node on regtest for tests, and an Esplora API over it. Needs no
# wallet: coins belong to fixed keys and are signed with signrawtransactionwithkey.
package Reconciler::Bitcoin;

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(sha256);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->allow_nonref->allow_bignum;
my $test_dir = abs_path(dirname(__FILE__) . '/../..');

# The command that runs bitcoind as a list, or (undef, reason)
sub command
{
	my $reason_file = File::Temp->new;
	my $line = `'$test_dir/setup-bitcoind' 2>'$reason_file'`;
	my $status = $?;

	return split ' ', $line if $status == 0 && $line =~ /\S/;
	my $reason = do { local $/; readline $reason_file } // '';
	$reason =~ s/\s+\z//;
	return (undef, $reason || 'bitcoind can\'t be had');
}

# A port that was free a moment ago
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0)
	  or die "no free port: $!";
	return $socket->sockport;
}

# Runs a command with its output in $log; returns its process id
sub spawn
{
	my ($log, @command) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	return $pid;
}

# Starts a node; options: args => [...] more arguments, blocks => number to mine
# at start (default 130; coins mature after 100). Returns (node) or (undef, reason).
sub start
{
	my ($class, %options) = @_;
	my @command = command();
	return @command unless defined $command[0];

	my $self = bless {
		command => \@command,
		args => $options{args} // [],
		dir => tempdir('bitcoind.XXXXXX', TMPDIR => 1, CLEANUP => 1),
		user => 'shop',
		password => 'regtest-secret',
		http => HTTP::Tiny->new(timeout => 120),
		owner => $$,
	}, $class;
	$self->launch or return (undef, "bitcoind does not start: " . $self->log_tail);
	$self->{miner} = $self->address('wpkh', 0);
	$self->mine($options{blocks} // 130);
	return $self;
}

# Starts (again) the process on this node's data directory
sub launch
{
	my ($self) = @_;

	for my $try (1 .. 3)
	{
		$self->{port} = free_port();
		$self->{pid} = spawn(
			"$self->{dir}/log", @{ $self->{command} },
			'-regtest', '-server', "-datadir=$self->{dir}", '-listen=0', '-dnsseed=0',
			"-rpcport=$self->{port}", '-rpcbind=127.0.0.1', '-rpcallowip=127.0.0.1',
			'-rpcauth=' . $self->rpcauth, '-fallbackfee=0.0001', '-printtoconsole=0',
			'-rpcthreads=8', '-rpcworkqueue=256', @{ $self->{args} });
		for (1 .. 300)
		{
			return 1 if eval { $self->rpc('getblockcount'); 1 };
			last if waitpid($self->{pid}, POSIX::WNOHANG()) != 0;
			sleep 0.1;
		}
		$self->stop;
	}
	return 0;
}

# user:salt$hmac for -rpcauth, so that cookie file and password both work
sub rpcauth
{
	my ($self) = @_;
	my $salt = 'b0a9c8d7e6f5a4b3c2d1e0f9a8b7c6d5';

	return "$self->{user}:$salt\$" . Digest::SHA::hmac_sha256_hex($self->{password}, $salt);
}

sub log_tail
{
	my ($self) = @_;
	open my $file, '<', "$self->{dir}/log" or return '';
	my @lines = <$file>;
	return join ' ', map { s/\s+\z//r } grep { defined } @lines[-3 .. -1];
}

# Endpoint URLs as networks.endpoints take them
sub url
{
	my ($self) = @_;
	return "http://$self->{user}:$self->{password}\@127.0.0.1:$self->{port}";
}

sub cookie_file
{
	my ($self) = @_;
	return "$self->{dir}/regtest/.cookie";
}

# Calls a method; dies with the node's error
sub rpc
{
	my ($self, $method, @params) = @_;
	my $response = $self->{http}->post(
		$self->url,
		{
			headers => { 'Content-Type' => 'application/json' },
			content => $json->encode({ id => 1, method => $method, params => \@params })
		});
	my $answer = eval { $json->decode($response->{content}) };

	die "$method: HTTP $response->{status} $response->{content}\n" unless ref $answer eq 'HASH';
	die "$method: $answer->{error}{message}\n" if ref $answer->{error};
	return $answer->{result};
}

# The private key number n, as WIF of a test network
sub key
{
	my ($self, $n) = @_;
	return base58check("\xef" . sha256("reconciler test key $n") . "\x01");
}

sub base58check
{
	my ($bytes) = @_;
	my @alphabet = split //, '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
	my @digits = (0);

	$bytes .= substr(sha256(sha256($bytes)), 0, 4);
	for my $byte (unpack 'C*', $bytes)
	{
		my $carry = $byte;
		for my $digit (@digits)
		{
			$carry += $digit * 256;
			$digit = $carry % 58;
			$carry = int($carry / 58);
		}
		while ($carry)
		{
			push @digits, $carry % 58;
			$carry = int($carry / 58);
		}
	}
	$bytes =~ /^(\0*)/;
	return $alphabet[0] x length($1) . join '', map { $alphabet[$_] } reverse @digits;
}

# The address of key n: type is pkh, sh-wpkh, wpkh, wsh or tr
sub address
{
	my ($self, $type, $n) = @_;
	my $key = $self->key($n);
	my $text =
	    $type eq 'sh-wpkh' ? "sh(wpkh($key))"
	  : $type eq 'wsh' ? "wsh(pk($key))"
	  : "$type($key)";

	return $self->{addresses}{"$type $n"} //=
	  $self->rpc('deriveaddresses', $self->rpc('getdescriptorinfo', $text)->{descriptor})->[0];
}

# n different addresses, without keys
sub addresses
{
	my ($self, $count) = @_;
	my $xpub =
	    'tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4qHHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B';
	my $from = $self->{derived} // 0;

	$self->{derived} = $from + $count;
	my $descriptor = $self->rpc('getdescriptorinfo', "wpkh($xpub/0/*)")->{descriptor};
	return @{ $self->rpc('deriveaddresses', $descriptor, [ $from, $from + $count - 1 ]) };
}

# Mines n blocks with what is in the mempool; returns their hashes
sub mine
{
	my ($self, $count) = @_;
	my $hashes = $self->rpc('generatetoaddress', $count // 1, $self->{miner});

	$self->sync;
	return @$hashes;
}

# Mines one block with just these transactions (ids of the mempool's, or raw); returns its hash
sub mine_only
{
	my ($self, @transactions) = @_;
	my $block = $self->rpc('generateblock', $self->{miner}, \@transactions);

	$self->sync;
	return $block->{hash};
}

sub sync
{
	my ($self) = @_;
	$self->rpc('syncwithvalidationinterfacequeue');
	return;
}

sub btc
{
	my ($satoshi) = @_;
	return sprintf '%d.%08d', int($satoshi / 100_000_000), $satoshi % 100_000_000;
}

sub satoshi
{
	my ($btc) = @_;
	return int("$btc" * 100_000_000 + 0.5);
}

# Unspent mature outputs at an address, spent in the mempool left out; the largest first;
# at most $limit of them
sub coins
{
	my ($self, $address, $limit) = @_;
	my $found = $self->rpc('scantxoutset', 'start', ["addr($address)"]);
	my @coins;

	for my $coin (sort { $b->{amount} <=> $a->{amount} } @{ $found->{unspents} })
	{
		next if $coin->{coinbase} && $found->{height} - $coin->{height} < 100;
		next unless $self->rpc('gettxout', $coin->{txid}, $coin->{vout}, JSON::PP::true);
		push @coins, { txid => $coin->{txid}, vout => $coin->{vout}, value => satoshi($coin->{amount}) };
		last if $limit && @coins == $limit;
	}
	return @coins;
}

# A signed transaction: outputs => [[address, satoshi], ...]; inputs => [coins]
# (default: the miner's largest); key => number of the key that signs; fee in
# satoshi; change goes to the miner (sweep => 1: to the fee). Returns raw hex.
sub transaction
{
	my ($self, %options) = @_;
	my @inputs = @{ $options{inputs} // [ $self->coins($self->{miner}, 1) ] };
	my $left = -($options{fee} // 10_000);
	my @outputs;

	$left += $_->{value} for @inputs;
	for my $output (@{ $options{outputs} })
	{
		push @outputs, { $output->[0] => btc($output->[1]) };
		$left -= $output->[1];
	}
	die "not enough coins: $left\n" if $left < 0;
	push @outputs, { $self->{miner} => btc($left) } if $left > 1000 && !$options{sweep};
	my $raw = $self->rpc(
		'createrawtransaction',
		[ map { { txid => $_->{txid}, vout => $_->{vout}, sequence => 0xfffffffd } } @inputs ],
		\@outputs);
	my $signed = $self->rpc('signrawtransactionwithkey', $raw, [ $self->key($options{key} // 0) ]);
	die 'not signed: ' . $json->encode($signed->{errors}) . "\n" unless $signed->{complete};
	return $signed->{hex};
}

sub send_raw
{
	my ($self, $raw) = @_;
	my $txid = $self->rpc('sendrawtransaction', $raw, 0);

	$self->sync;
	return $txid;
}

# Pays into the mempool: pay([address, satoshi], ...); returns the transaction id
sub pay
{
	my ($self, @outputs) = @_;
	return $self->send_raw($self->transaction(outputs => \@outputs));
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

# An Esplora API over this node; returns an object with url, control and stats, or (undef, reason)
sub esplora
{
	my ($self, %options) = @_;
	my $double = bless {
		http => HTTP::Tiny->new(timeout => 60),
		dir => tempdir('esplora.XXXXXX', TMPDIR => 1, CLEANUP => 1),
		owner => $$,
	}, 'Reconciler::Bitcoin::Esplora';

	system('python3 -c "import http.server" 2>/dev/null') == 0
	  or return (undef, 'the Esplora double needs python3');
	for my $try (1 .. 3)
	{
		$double->{port} = free_port();
		$double->{pid} = spawn("$double->{dir}/log", 'python3', "$test_dir/lib/esplora_double.py",
			$double->{port}, $self->url);
		for (1 .. 200)
		{
			return $double if eval { $double->stats; 1 };
			last if waitpid($double->{pid}, POSIX::WNOHANG()) != 0;
			sleep 0.1;
		}
		$double->stop;
	}
	open my $file, '<', "$double->{dir}/log";
	return (undef, 'the Esplora double does not start: ' . join ' ', <$file>);
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	$self->stop if $self->{owner} == $$;
	return;
}

package Reconciler::Bitcoin::Esplora;

sub url
{
	my ($self) = @_;
	return "http://127.0.0.1:$self->{port}/api";
}

# How the double behaves from now on: see esplora_double.py
sub control
{
	my ($self, %settings) = @_;
	my $response = $self->{http}->post("http://127.0.0.1:$self->{port}/double/control",
		{ content => $json->encode(\%settings) });
	die "control: $response->{status} $response->{content}\n" unless $response->{success};
	return;
}

# { requests => n, by_path => { "/address/:a" => n, ... }, refused => n }
sub stats
{
	my ($self) = @_;
	my $response = $self->{http}->get("http://127.0.0.1:$self->{port}/double/stats");
	die "stats: $response->{status}\n" unless $response->{success};
	return $json->decode($response->{content});
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	$self->stop if $self->{owner} == $$;
	return;
}

1;
