# Receives webhooks: test/lib/webhook_receiver.py as a child process.
#
#   my $receiver = Reconciler::Receiver->start;
#   $receiver->url('/flaky/2');
#   my @accepted = grep { $_->{status} == 204 } $receiver->received('/flaky/2');
package Reconciler::Receiver;

use strict;
use warnings;

use File::Basename;
use JSON::PP;
use Time::HiRes qw(sleep time);

use Reconciler::Process;

my $program = dirname(__FILE__) . '/../webhook_receiver.py';
my $made = 0;

# Options: tls (a certificate of its own; undef is returned where openssl can't make one)
sub start
{
	my ($class, %options) = @_;
	my $directory = Reconciler::Process::directory() . "/receiver.$$." . ++$made;
	mkdir $directory or die "$directory: $!\n";
	return if $options{tls} && !_make_certificate($directory);
	my $process = Reconciler::Process->spawn('receiver', 'python3', $program, 'serve', $directory);
	my $deadline = time() + 30;
	until (-e "$directory/port")
	{
		die "the receiver doesn't start: " . $process->output . "\n" if time() > $deadline || !$process->is_running;
		sleep 0.02;
	}
	return bless { directory => $directory, process => $process, port => _read("$directory/port") }, $class;
}

sub port { my ($self) = @_; return $self->{port} }
sub url { my ($self, $path, $host) = @_; return 'http://' . ($host // '127.0.0.1') . ":$self->{port}$path" }

# What came, in order: hashes of path, status, try, came, answered, headers, body (parsed: message); of one path, if it is given
sub received
{
	my ($self, $path) = @_;
	my @received = map { decode_json($_) } split /\n/, _read("$self->{directory}/received");
	@received = grep { $_->{path} eq $path } @received if defined $path;
	$_->{message} = length $_->{body} ? JSON::PP->new->decode($_->{body}) : {} for @received;
	return @received;
}

# How many signatures the specification's library finds good, and bad; secrets: path => [secret, …]
sub verify
{
	my ($self, $library, $secrets) = @_;
	open my $file, '>', "$self->{directory}/secrets" or die;
	print $file encode_json($secrets);
	close $file;
	local $ENV{PYTHONPATH} = $library;
	my $answer = qx(python3 "$program" verify "$self->{directory}");
	return split ' ', $answer;
}

sub _make_certificate
{
	my ($directory) = @_;
	return !system("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
		  . " -keyout '$directory/key.pem' -out '$directory/cert.pem' >/dev/null 2>&1 && cat '$directory/key.pem' '$directory/cert.pem' >'$directory/tls.pem'");
}

sub stop { my ($self) = @_; return $self->{process}->stop }

sub _read
{
	my ($name) = @_;
	open my $file, '<', $name or return '';
	local $/;
	return <$file> // '';
}

1;
