# A private PostgreSQL server with the extension loaded, for the demo and the
# bench. (TAP tests use PostgreSQL::Test::Cluster, see Reconciler::Test.)
package Reconciler::Server;

use strict;
use warnings;

use File::Temp;

use Reconciler::Process;
use Reconciler::Session;

my @servers;
my $owner = $$;

# Options: conf (lines of postgresql.conf)
sub start
{
	my ($class, %options) = @_;
	my $data = Reconciler::Process::directory() . '/server' . scalar @servers;
	# A socket's path may have 107 bytes: not below the data directory
	my $sockets = File::Temp->newdir('rc.XXXXXX', TMPDIR => 1);
	my $self = bless { data => $data, sockets => $sockets, log => "$data.log" }, $class;

	_run("$data.initdb.log", 'initdb', '-D', $data, '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C', '-U', 'postgres');
	open my $file, '>>', "$data/postgresql.conf" or die "$data: $!\n";
	print $file <<"CONF", $options{conf} // '';
listen_addresses = ''
unix_socket_directories = '$sockets'
shared_preload_libraries = 'reconciler'
log_line_prefix = '%m [%p] %b '
max_worker_processes = 24
fsync = off
CONF
	close $file;
	push @servers, $self;
	_run("$data.start.log", 'pg_ctl', '-D', $data, '-l', $self->{log}, '-w', 'start');
	return $self;
}

sub _run
{
	my ($log, @command) = @_;
	my $pid = fork() // die "fork: $!\n";
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	return if $? == 0;
	open my $file, '<', $log;
	die "$command[0] failed:\n", <$file>;
}

sub dsn
{
	my ($self, $database) = @_;
	return "host=$self->{sockets} user=postgres dbname=" . ($database // 'postgres');
}

sub session
{
	my ($self, $database) = @_;
	return Reconciler::Session->new($self->dsn($database));
}

sub log_text
{
	my ($self) = @_;
	open my $file, '<', $self->{log} or return '';
	local $/;
	return <$file> // '';
}

sub stop
{
	my ($self) = @_;
	return if $self->{stopped}++;
	_run("$self->{data}.stop.log", 'pg_ctl', '-D', $self->{data}, '-m', 'immediate', '-w', 'stop');
	return;
}

END
{
	if ($$ == $owner)
	{
		my $status = $?;
		eval { $_->stop } for @servers;
		$? = $status;
	}
}

1;
