# A psql that stays connected, for tests and tools that ask often.
package Reconciler::Session;

use strict;
use warnings;

use IPC::Open2;

# dsn: a libpq connection string
sub new
{
	my ($class, $dsn) = @_;
	local $ENV{PGOPTIONS} = '--client-min-messages=warning';
	my $pid = open2(my $out, my $in, 'sh', '-c', 'exec psql -XAtqw -F "	" -v ON_ERROR_STOP=0 -d "$0" 2>&1', $dsn);
	my $self = bless { pid => $pid, out => $out, in => $in, marker => 0 }, $class;
	$self->query('SELECT 1');
	return $self;
}

# Rows as a list of array references (text; null is ''); dies with the server's message
sub query
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->result;
}

# Without waiting; result must be called before the next query
sub send
{
	my ($self, $sql) = @_;
	my ($in, $marker) = ($self->{in}, '--done-' . ++$self->{marker});
	local $SIG{PIPE} = 'IGNORE';
	print $in "$sql\n;\n\\echo $marker\n";
	$in->flush;
	return;
}

sub result
{
	my ($self) = @_;
	my $marker = "--done-$self->{marker}\n";
	my @rows;
	my $error = '';
	my $out = $self->{out};
	while (defined(my $line = <$out>))
	{
		if ($line eq $marker)
		{
			die $error if $error;
			return @rows;
		}
		chomp $line;
		$error .= "$line\n" if $error || $line =~ /^(?:psql:.*)?(?:ERROR|FATAL|PANIC): /;
		push @rows, [ split /\t/, $line, -1 ];
	}
	die $error || "the connection has ended\n";
}

# The first column of the first row
sub value
{
	my ($self, $sql) = @_;
	my ($row) = $self->query($sql);
	return $row ? $row->[0] : undef;
}

sub close
{
	my ($self) = @_;
	CORE::close($self->{in});
	CORE::close($self->{out});
	local $?;
	waitpid $self->{pid}, 0;
	return;
}

1;
