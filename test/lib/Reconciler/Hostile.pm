# A server of bad habits in front of an honest one, and a network for each habit.
#
#   my ($hostile, $reason) = Reconciler::Hostile->start('hostile_esplora.py', $esplora->url);
#   $hostile->url($_) for $hostile->cases;      # where each case is served
#   $hostile->honest;                           # from now on they all behave
#
# The cases stand in test/lib/hostile*.py.
package Reconciler::Hostile;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(sleep time);

use Reconciler::Process;

my $lib = abs_path(dirname(__FILE__) . '/..');
my $json = JSON::PP->new->utf8;

# Returns (server) or (undef, reason)
sub start
{
	my ($class, $script, $target) = @_;
	my ($host, $port, $path) = $target =~ m{^http://([^/:]+):(\d+)(/.*)?$} or die "no http URL: $target\n";

	system('python3 -c "import http.server" 2>/dev/null') == 0 or return (undef, 'misbehaving servers need python3');
	my $self = bless {
		path => $path // '',
		http => HTTP::Tiny->new(timeout => 60),
		process => Reconciler::Process->spawn('hostile', 'python3', '-B', "$lib/$script", $host, $port),
	}, $class;
	my $deadline = time() + 30;
	until (($self->{port}) = $self->{process}->output =~ /^port (\d+)\n/m)
	{
		return (undef, 'misbehaving servers do not start: ' . $self->{process}->output)
		  if time() > $deadline || !$self->{process}->is_running;
		sleep 0.02;
	}
	return $self;
}

sub _call
{
	my ($self, $method, $name, $body) = @_;
	my $response = $self->{http}->request($method, "http://127.0.0.1:$self->{port}/hostile/$name",
		defined $body ? { content => $json->encode($body) } : {});
	die "$name: $response->{status} $response->{content}\n" unless $response->{success};
	return $json->decode($response->{content});
}

# The names of the cases, in order; quiet: of those that need not lead to an error
sub cases { my ($self) = @_; return map { $_->{name} } @{ $self->{cases} //= $self->_call(GET => 'cases') } }
sub quiet { my ($self) = @_; $self->cases; return map { $_->{name} } grep { $_->{quiet} } @{ $self->{cases} } }

sub url { my ($self, $case) = @_; return "http://127.0.0.1:$self->{port}/$case$self->{path}" }
sub requests { my ($self) = @_; return $self->_call(GET => 'stats') }
sub honest { my ($self) = @_; return $self->_call(POST => 'control', { honest => JSON::PP::true }) }

1;
