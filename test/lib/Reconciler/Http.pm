# A small HTTP/1.1 client that keeps its connection and writes a request at
# once: with HTTP::Tiny's separate writes of head and body, Nagle's algorithm
# and delayed acknowledgements cost 40 ms a request.
package Reconciler::Http;

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

# url: http://host:port
sub new
{
	my ($class, $url) = @_;
	my ($host, $port) = $url =~ m{^http://([^/:]+):(\d+)} or die "no http URL: $url\n";
	return bless { host => $host, port => $port }, $class;
}

# Posts JSON and returns the body of the answer; dies if there is none, or its status isn't 200
sub post
{
	my ($self, $json) = @_;
	my $fresh = !$self->{socket};
	my ($status, $body) = eval { $self->_exchange($json) };
	if (!defined $status && !$fresh)
	{
		# The server may close a connection that was idle
		($status, $body) = eval { $self->_exchange($json) };
	}
	die $@ || "no answer\n" unless defined $status;
	die "HTTP status $status: $body\n" unless $status == 200;
	return $body;
}

sub _exchange
{
	my ($self, $json) = @_;
	my $socket = $self->{socket} //= $self->_connect;
	delete $self->{socket};
	local $SIG{PIPE} = 'IGNORE';
	my $request = "POST / HTTP/1.1\r\nHost: $self->{host}:$self->{port}\r\nContent-Type: application/json\r\n"
	  . 'Content-Length: ' . length($json) . "\r\n\r\n$json";
	while (length $request)
	{
		my $written = syswrite $socket, $request;
		die "write: $!\n" unless $written;
		substr $request, 0, $written, "";
	}

	my $answer = '';
	my $need;
	while (!defined $need || length $answer < $need)
	{
		my $got = sysread $socket, $answer, 1 << 18, length $answer;
		die "the connection was closed\n" unless $got;
		if (!defined $need && $answer =~ /\A(.*?\r\n\r\n)/s)
		{
			my $head = $1;
			$head =~ /^content-length:\s*(\d+)/mi or die "an answer without a length\n";
			$need = length($head) + $1;
			$self->{status} = $head =~ /\AHTTP\/1\.\d (\d+)/ ? $1 : 0;
			$self->{offset} = length $head;
		}
	}
	$self->{socket} = $socket;
	return ($self->{status}, substr $answer, $self->{offset});
}

sub _connect
{
	my ($self) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $self->{host}, PeerPort => $self->{port}, Proto => 'tcp', Timeout => 5)
	  or die "connect: $@\n";
	setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
	# An endpoint that hangs must not hang the test for ever
	setsockopt $socket, Socket::SOL_SOCKET(), Socket::SO_RCVTIMEO(), pack 'l!l!', 60, 0;
	return $socket;
}

1;
