# Child processes of tests: started in the run's directory, killed at its end.
package Reconciler::Process;

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

my %running;
my $owner = $$;
my $directory;

# Where the run's servers live; below TESTDATADIR, so that test/clean-up-after finds what is left
sub directory
{
	if (!$directory)
	{
		my $parent = $ENV{TESTDATADIR} // '.';
		make_path($parent);
		$directory = File::Temp->newdir('run.XXXXXX', DIR => $parent, CLEANUP => 1);
	}
	return "$directory";
}

sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1, Proto => 'tcp')
	  or die "no free port: $!\n";
	return $socket->sockport;
}

# Runs a command, or a code reference, in a child process
sub spawn
{
	my ($class, $name, @command) = @_;
	my $output = directory() . "/$name.$$." . (1 + keys %running) . '.' . int(1e6 * rand) . '.out';
	my $pid = fork() // die "fork: $!\n";
	if (!$pid)
	{
		chdir directory();
		open STDIN, '<', '/dev/null';
		if (ref $command[0])
		{
			my $status = eval { $command[0]->(); 1 } ? 0 : 1;
			print STDERR $@ if $status;
			POSIX::_exit($status);
		}
		open STDOUT, '>', $output;
		open STDERR, '>&', \*STDOUT;
		{ no warnings 'exec'; exec { $command[0] } @command; }
		print "$command[0]: $!\n";
		STDOUT->flush;
		POSIX::_exit(127);
	}
	my $self = bless { pid => $pid, name => $name, output => $output }, $class;
	$running{$pid} = $self;
	return $self;
}

sub pid { my ($self) = @_; return $self->{pid} }

sub is_running
{
	my ($self) = @_;
	return 0 unless $running{ $self->{pid} };
	if (waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid})
	{
		$self->{status} = $?;
		delete $running{ $self->{pid} };
		return 0;
	}
	return 1;
}

# Exit status as in $?, once the process has ended
sub status { my ($self) = @_; return $self->{status} }

sub output
{
	my ($self) = @_;
	open my $file, '<', $self->{output} or return '';
	local $/;
	return <$file> // '';
}

sub signal
{
	my ($self, $signal) = @_;
	return $self->is_running && kill $signal => $self->{pid};
}

# True once it has ended by itself
sub wait_for_end
{
	my ($self, $seconds) = @_;
	my $deadline = time() + $seconds;
	while ($self->is_running)
	{
		return 0 if time() > $deadline;
		sleep 0.01;
	}
	return 1;
}

sub stop
{
	my ($self) = @_;
	$self->signal('CONT');
	$self->signal('TERM');
	if (!$self->wait_for_end(5))
	{
		$self->signal('KILL');
		$self->wait_for_end(5);
	}
	return;
}

END
{
	if ($$ == $owner)
	{
		my $status = $?;
		$_->stop for values %running;
		$? = $status;
	}
}

1;
