# A reconcilerd under test.
#
#   my $daemon = Reconciler::Daemon->start($node, worker_id => 'one', args => ['--once']);
#   ok($daemon->stop(5));
#   like($daemon->log, qr/stopped/);
package Reconciler::Daemon;

use strict;
use warnings;

use parent -norequire, 'Reconciler::Process';

use Time::HiRes ();

use Reconciler::Process;

# Options: user, password, database, worker_id, env (variables), args (flags). A heartbeat
# file of its own is given, unless env names one.
sub start
{
	my ($class, $node, %options) = @_;
	my $directory = Reconciler::Process::directory();
	my %variables = (
		DATABASE_URL => url($node, %options),
		RECONCILER_HEARTBEAT_FILE => sprintf('%s/heartbeat.%d.%d', $directory, $$, int(1e6 * rand)),
		$options{worker_id} ? (RECONCILER_WORKER_ID => $options{worker_id}) : (),
		%{ $options{env} // {} });

	# Nothing of the caller's environment may change what is tested
	local %ENV = (clean_environment(), %variables);
	my $self = $class->spawn('reconcilerd', program(), @{ $options{args} // [] });
	$self->{variables} = \%variables;
	return $self;
}

sub program { return $ENV{RECONCILERD} // die "RECONCILERD must name the program\n" }

sub clean_environment
{
	return map { $_ => $ENV{$_} } grep { !/^(?:PG|DATABASE_URL|RECONCILER_|PAYMENT_REQUEST_|XDG_)/ } keys %ENV;
}

# How libpq finds the node's socket, with what user and password; node may be undef
sub url
{
	my ($node, %options) = @_;
	my $user = $options{user} // getpwuid($<);
	my $password = defined $options{password} ? ":$options{password}" : '';
	my $database = $options{database} // 'postgres';
	return "postgresql://$user$password@/$database" unless $node;
	(my $host = $node->host) =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ge;
	return "postgresql://$user$password@/$database?host=$host&port=" . $node->port;
}

sub log { my ($self) = @_; return $self->output }

# Waits for a line of the log; true if it came
sub wait_for_log
{
	my ($self, $pattern, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // $ENV{PG_TEST_TIMEOUT_DEFAULT} // 180);
	until ($self->log =~ $pattern)
	{
		return 0 if Time::HiRes::time() > $deadline;
		return $self->log =~ $pattern unless $self->is_running;
		Time::HiRes::sleep(0.05);
	}
	return 1;
}

# SIGTERM; the exit status once it has ended, undef if it has not
sub terminate
{
	my ($self, $seconds) = @_;
	$self->signal('TERM');
	return $self->exit_code($seconds);
}

# What it exits with by itself: the code, or "signal n"
sub exit_code
{
	my ($self, $seconds) = @_;
	return undef unless $self->wait_for_end($seconds // 180);	## no critic (ProhibitExplicitReturnUndef)
	return $self->status & 127 ? 'signal ' . ($self->status & 127) : $self->status >> 8;
}

# Exit code and complaint of --healthcheck for this daemon's heartbeat file
sub healthcheck
{
	my ($self) = @_;
	local %ENV = (clean_environment(), %{ $self->{variables} });
	my $check = Reconciler::Process->spawn('healthcheck', program(), '--healthcheck');
	$check->wait_for_end(60);
	return ($check->status >> 8, $check->output);
}

1;
