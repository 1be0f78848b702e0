# An HTTP endpoint in front of a node (or of nothing) that is slow or misbehaves.
#
#   my $proxy = Reconciler::Proxy->start($chain->url, delay_ms => 50);
#   $proxy->set(mode => 'hang');            # while it runs
#   is($proxy->stats->{requests}, 3);
#
# Modes: pass (the default), hang (reads and never answers), refuse (closes the
# connection on a request), answer (sends status, headers and body as set),
# truncate (passes, and closes in the middle of the answer), or the name of one
# of the given handlers: code that gets the request's body and path and returns
# [status, body, headers] or undef to pass the request on.
package Reconciler::Proxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(AF_UNIX IPPROTO_TCP PF_UNSPEC SOCK_STREAM TCP_NODELAY);
use Time::HiRes qw(time);

use Reconciler::Process;

my $json = JSON::PP->new->utf8->canonical;

# target: URL of the node, or undef. Options: delay_ms (before each answer), mode,
# status, headers, body (mode answer), handlers
sub start
{
	my ($class, $target, %settings) = @_;
	my $handlers = delete $settings{handlers} // {};
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 128, Proto => 'tcp')
	  or die "proxy: $!\n";
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!\n";
	$_->autoflush(1) for $ours, $theirs;
	my $port = $listener->sockport;
	my $process = Reconciler::Process->spawn('proxy', sub {
		close $ours;
		local $SIG{PIPE} = 'IGNORE';
		_serve($listener, $theirs, $target, $handlers, { mode => 'pass', delay_ms => 0, %settings });
	});
	close $theirs;
	return bless { process => $process, control => $ours, port => $port }, $class;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }
sub port { my ($self) = @_; return $self->{port} }

# Changes settings; they hold for every request that comes after
sub set
{
	my ($self, %settings) = @_;
	return $self->_ask({ set => \%settings });
}

# requests, connections, in_flight, max_in_flight, bodies (of the last 50 requests)
sub stats
{
	my ($self) = @_;
	return $self->_ask({});
}

sub stop { my ($self) = @_; return $self->{process}->stop }

sub _ask
{
	my ($self, $question) = @_;
	my $control = $self->{control};
	print $control $json->encode($question), "\n";
	my $answer = <$control> // die "proxy has ended\n";
	return $json->decode($answer);
}

# The child: one loop over the listener, the control socket, clients and their upstream connections
sub _serve
{
	my ($listener, $control, $target, $handlers, $settings) = @_;
	my $proxy = {
		target => $target,
		handlers => $handlers,
		settings => $settings,
		select => IO::Select->new($listener, $control),
		peers => {},
		pending => [],			# [due time, client, bytes, close afterwards], in order of arrival
		stats => { requests => 0, connections => 0, in_flight => 0, max_in_flight => 0, bodies => [] },
	};

	while (1)
	{
		my $now = time();
		my $wait = 1;
		for my $answer (@{ $proxy->{pending} })
		{
			my $left = $answer->[0] - $now;
			$wait = $left if $left < $wait;
		}
		for my $socket ($proxy->{select}->can_read($wait < 0 ? 0 : $wait))
		{
			if ($socket == $listener)
			{
				_accept($proxy, $listener);
			}
			elsif ($socket == $control)
			{
				my $question = <$control> // return;
				my $change = $json->decode($question)->{set} // {};
				@{$settings}{ keys %$change } = values %$change;
				print $control $json->encode($proxy->{stats}), "\n";
			}
			elsif (my $peer = $proxy->{peers}{$socket})
			{
				_read($proxy, $peer, $socket);
			}
		}
		_send_due($proxy);
	}
}

sub _accept
{
	my ($proxy, $listener) = @_;
	my $client = $listener->accept or return;
	$proxy->{stats}{connections}++;
	$client->autoflush(1);
	setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
	$proxy->{select}->add($client);
	$proxy->{peers}{$client} = { client => $client, in => '', modes => [] };
	return;
}

sub _close
{
	my ($proxy, $peer) = @_;
	$proxy->{stats}{in_flight} -= @{ $peer->{modes} };
	$peer->{modes} = [];
	for my $socket (grep { defined } @{$peer}{qw(client upstream)})
	{
		$proxy->{select}->remove($socket);
		delete $proxy->{peers}{$socket};
		close $socket;
	}
	$proxy->{pending} = [ grep { $_->[1] != $peer } @{ $proxy->{pending} } ];
	return;
}

sub _read
{
	my ($proxy, $peer, $socket) = @_;
	my $bytes = '';
	if (!sysread $socket, $bytes, 1 << 20)
	{
		return _close($proxy, $peer);
	}
	if ($socket == $peer->{client})
	{
		$peer->{in} .= $bytes;
		while ($proxy->{peers}{$socket} && $peer->{in} =~ /\A(.*?\r\n\r\n)/s)
		{
			my $head = $1;
			my $length = $head =~ /^content-length:\s*(\d+)/mi ? $1 : 0;
			last if length($peer->{in}) < length($head) + $length;
			my $request = substr $peer->{in}, 0, length($head) + $length, '';
			_request($proxy, $peer, $request, substr($request, length $head));
		}
	}
	else
	{
		my $cut = ($peer->{modes}[0] // '') eq 'truncate';
		$bytes = substr $bytes, 0, length($bytes) / 2 if $cut;
		_answer($proxy, $peer, $bytes, $cut);
	}
	return;
}

sub _request
{
	my ($proxy, $peer, $request, $body) = @_;
	my $stats = $proxy->{stats};
	my $settings = $proxy->{settings};
	my $mode = $settings->{mode};
	my ($path) = $request =~ /\A\S+ (\S+)/;

	$stats->{requests}++;
	$stats->{in_flight}++;
	$stats->{max_in_flight} = $stats->{in_flight} if $stats->{in_flight} > $stats->{max_in_flight};
	push @{ $stats->{bodies} }, $body;
	shift @{ $stats->{bodies} } if @{ $stats->{bodies} } > 50;
	push @{ $peer->{modes} }, $mode;

	return if $mode eq 'hang';
	return _close($proxy, $peer) if $mode eq 'refuse';

	my $response;
	if ($mode eq 'answer')
	{
		$response = [ $settings->{status} // 200, $settings->{body} // '', $settings->{headers} // {} ];
	}
	elsif (my $handler = $proxy->{handlers}{$mode})
	{
		$response = $handler->($body, $path);
	}
	if ($response)
	{
		my ($status, $text, $headers) = @$response;
		my %headers = ('content-type' => 'application/json', 'content-length' => length $text, %{ $headers // {} });
		my $head = join '', map { "$_: $headers{$_}\r\n" } sort keys %headers;
		return _answer($proxy, $peer, "HTTP/1.1 $status Test\r\n$head\r\n$text", 0);
	}

	my ($host, $port) = $proxy->{target} =~ m{^http://([^/:]+):(\d+)};
	if (!$peer->{upstream})
	{
		$peer->{upstream} = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp')
		  or return _close($proxy, $peer);
		setsockopt $peer->{upstream}, IPPROTO_TCP, TCP_NODELAY, 1;
		$proxy->{select}->add($peer->{upstream});
		$proxy->{peers}{ $peer->{upstream} } = $peer;
	}
	syswrite $peer->{upstream}, $request;
	return;
}

sub _answer
{
	my ($proxy, $peer, $bytes, $close) = @_;
	push @{ $proxy->{pending} }, [ time() + $proxy->{settings}{delay_ms} / 1000, $peer, $bytes, $close ];
	return;
}

sub _send_due
{
	my ($proxy) = @_;
	my $now = time();
	my (@due, @later);
	push @{ $_->[0] <= $now ? \@due : \@later }, $_ for @{ $proxy->{pending} };
	$proxy->{pending} = \@later;
	for my $answer (@due)
	{
		my (undef, $peer, $bytes, $close) = @$answer;
		next unless $proxy->{peers}{ $peer->{client} };

		# An answer that comes in several pieces counts once
		if (@{ $peer->{modes} } && $bytes =~ /\AHTTP\//)
		{
			shift @{ $peer->{modes} };
			$proxy->{stats}{in_flight}--;
		}
		my $client = $peer->{client};
		print $client $bytes;
		_close($proxy, $peer) if $close;
	}
	return;
}

1;
