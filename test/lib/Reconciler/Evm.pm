# Contracts for tests of what arrives on an EVM chain, as creation code, and an
# independent count of it: every block of a chain, by its receipts and traces.
package Reconciler::Evm;

use strict;
use warnings;

use Math::BigInt;

use Exporter 'import';
our @EXPORT_OK = qw(%code word address_word arrivals);

# quiet: an ERC-20 whose transfer returns nothing; fee: one that keeps a hundredth; false: one whose
# transfer emits the event and does nothing. Their deployer owns 2^64 - 1 units.
# disperse: pays equal parts of the value that it gets to the addresses of its calldata. disperse_token:
# calls transfer of the token (first word) with the amount (second) for each of the addresses that follow.
# half: pays half of the value to the address of its calldata in a call that reverts, and half that stays.
our %code = (
	quiet => '0x'
	  . '67ffffffffffffffff33556100988060176000396000f360003560e01c806370a082311461002c578063a9059cbb14610044'
	  . '578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b3354602435808210'
	  . '6100925790033355602435600435540160043555602435600052600435337fddf252ad1be2c89b69c2b068fc378daa952ba7'
	  . 'f163c4a11628f55a4df523b3ef60206000a3005b60006000fd',
	fee => '0x'
	  . '67ffffffffffffffff33556100a88060176000396000f360003560e01c806370a082311461002c578063a9059cbb14610044'
	  . '578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b3354602435808210'
	  . '6100a2579003335560646024350460243503600435540160043555602435600052600435337fddf252ad1be2c89b69c2b068'
	  . 'fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3600160005260206000f35b60006000fd',
	false => '0x'
	  . '67ffffffffffffffff335561007f8060176000396000f360003560e01c806370a082311461002c578063a9059cbb14610044'
	  . '578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b6024356000526004'
	  . '35337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3600160005260206000f3',
	disperse => '0x'
	  . '61002880600c6000396000f360005b803611156100265760006000600060003660209004340485355af15060200161000256'
	  . '5b00',
	disperse_token => '0x'
	  . '61004a80600c6000396000f363a9059cbb60e01b60005260203560245260405b803611156100425780356004526020356024'
	  . '52600060006044600060006000355af11561004457602001610013565b005b60006000fd',
	half => '0x'
	  . '61004b80600c6000396000f336604014610036576000356000526001602052600060006040600060023404305af150600060'
	  . '0060006000600234046000355af150005b6000600060006000346000355af15060006000fd',
);

my $transfer = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
my $native = '0' x 40;

# A word of calldata, without 0x
sub word
{
	my ($value) = @_;
	my $hex = Math::BigInt->new($value)->as_hex;
	return sprintf '%064s', substr $hex, 2;
}

sub address_word { my ($address) = @_; return ('0' x 24) . lc substr $address, 2 }

sub _number { my ($hex) = @_; return Math::BigInt->new($hex) }

# The balance of a token at a height, 0 where there is no contract
sub _token_balance
{
	my ($chain, $token, $holder, $height) = @_;
	return Math::BigInt->new(0) if $height < 0;
	my $answer = $chain->rpc('eth_call',
		{ to => "0x$token", data => '0x70a08231' . ('0' x 24) . $holder }, sprintf '0x%x', $height);
	return $answer eq '0x' ? Math::BigInt->new(0) : _number($answer);
}

# What arrived in one block, of tokens: in - self, as far as the balances bear it out, by key
sub _token_arrivals
{
	my ($chain, $height, $receipts, $wanted, $arrived) = @_;
	my (%in, %out);
	for my $receipt (@$receipts)
	{
		for my $log (@{ $receipt->{logs} })
		{
			my @topics = @{ $log->{topics} };
			next unless @topics == 3 && $topics[0] eq $transfer && length $log->{data} == 66;
			my ($token, $from, $to) = (lc substr($log->{address}, 2), map { lc substr $_, 26 } @topics[ 1, 2 ]);
			next if $from eq $to;
			my $amount = _number($log->{data});
			($in{"$token$to"} //= Math::BigInt->new(0))->badd($amount);
			($out{"$token$from"} //= Math::BigInt->new(0))->badd($amount);
		}
	}
	for my $key (grep { $wanted->{$_} } keys %in)
	{
		my ($token, $holder) = $key =~ /^(.{40})(.{40})$/;
		my $most = _token_balance($chain, $token, $holder, $height)->copy->badd($out{$key} // 0)
		  ->bsub(_token_balance($chain, $token, $holder, $height - 1));
		$most = Math::BigInt->new(0) if $most < 0;
		my $credit = $most < $in{$key} ? $most : $in{$key};
		$arrived->{$key}{$height} = ($arrived->{$key}{$height} // Math::BigInt->new(0)) + $credit if $credit > 0;
	}
	return;
}

# Of the chain's own coin, by trace frames of transactions that succeeded; a frame below one that failed is none
sub _native_arrivals
{
	my ($chain, $height, $receipts, $wanted, $arrived) = @_;
	my %succeeded = map { $_->{transactionHash} => hex $_->{status} } @$receipts;
	my %failed;
	for my $frame (@{ $chain->rpc('trace_block', sprintf '0x%x', $height) })
	{
		my $hash = $frame->{transactionHash} or next;
		my $path = join '', map { "$_/" } @{ $frame->{traceAddress} };
		push @{ $failed{$hash} }, $path if defined $frame->{error};
		next if !$succeeded{$hash} || grep { index($path, $_) == 0 } @{ $failed{$hash} // [] };
		my $action = $frame->{action};
		next unless $frame->{type} eq 'call' && $action->{callType} eq 'call' && $action->{from} ne $action->{to};
		my $key = $native . lc substr $action->{to}, 2;
		my $amount = _number($action->{value});
		$arrived->{$key}{$height} = ($arrived->{$key}{$height} // Math::BigInt->new(0)) + $amount
		  if $wanted->{$key} && $amount > 0;
	}
	return;
}

# {key in hex}{height} = amount, of all blocks from the given one to the tip; keys: token and holder, without 0x
sub arrivals
{
	my ($chain, $from, @keys) = @_;
	my %wanted = map { lc $_ => 1 } @keys;
	my %arrived;
	for my $height ($from .. $chain->height)
	{
		my $receipts = $chain->rpc('eth_getBlockReceipts', sprintf '0x%x', $height);
		next unless @$receipts;
		_token_arrivals($chain, $height, $receipts, \%wanted, \%arrived);
		_native_arrivals($chain, $height, $receipts, \%wanted, \%arrived);
	}
	return \%arrived;
}

1;
