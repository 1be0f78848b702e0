# Readers of events that are killed at random, while transactions that overlap
# write 100,000 events, take long, and are rolled back: together the readers get
# every event that was committed and no other, those of a request in order, and
# twice only what nobody had acknowledged.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Reconciler::Process;
use Reconciler::Test;

random_seed();
my $transactions = 2200;
my $per_transaction = 50;
my $clients = 8;

my $node = new_node();
my $session = session($node);
$session->query(<<'SQL');
CREATE TABLE counters AS SELECT k, 0 AS n FROM generate_series(1, 200) k;
ALTER TABLE counters ADD PRIMARY KEY (k);
CREATE FUNCTION write_events(request int, events int) RETURNS void LANGUAGE sql AS $$
	WITH moved AS (UPDATE counters SET n = n + events WHERE k = request RETURNING n)
	INSERT INTO reconciler.events (kind, request_id, payload)
	SELECT 'request.detected', request, jsonb_build_object('n', m.n - events + i) FROM moved m, generate_series(1, events) i
$$;
SELECT reconciler.create_consumer('shipping');
SQL

# A transaction takes its id, waits, takes its turn on a request, waits, and ends
my $script = $node->basedir . '/write.sql';
append_to_file($script, <<"SQL");
\\set k random(1, 200)
\\set before random(0, 15)
\\set after random(0, 15)
\\set undone random(1, 20)
BEGIN;
SELECT pg_current_xact_id();
SELECT pg_sleep(:before / 1000.0);
SELECT write_events(:k, $per_transaction);
SELECT pg_sleep(:after / 1000.0);
\\if :undone = 1
ROLLBACK;
\\else
COMMIT;
\\endif
SQL

# What it reads goes to a file, before it is acknowledged: read|time|event|request|n, acked|time|event
sub start_reader
{
	my ($number) = @_;
	my $file = $node->basedir . "/reader.$number";
	return (Reconciler::Process->spawn("reader$number", sub {
		my $reader = session($node);
		open my $log, '>', $file or die;
		while (1)
		{
			my $asked = time();
			my @events = $reader->query("SELECT event_id, request_id, payload ->> 'n' FROM reconciler.read_events('shipping', 1000, '500 ms', '$number')");
			if (!@events)
			{
				sleep 0.02;
				next;
			}
			print $log join('', map { "read|$asked|" . join('|', @$_) . "\n" } @events);
			$log->flush;
			# Some time passes between doing and acknowledging, and not all is acknowledged at once
			sleep rand 0.03;
			my $last = $events[ rand() < 0.5 ? $#events : int rand @events ][0];
			$reader->query("SELECT reconciler.ack_events('shipping', $last)");
			print $log "acked|" . time() . "|$last\n";
			$log->flush;
		}
	}), $file);
}

my (@readers, @files);
my $started = 0;
sub start_another { my ($process, $file) = start_reader(++$started); push @files, $file; return $process }
@readers = map { start_another() } 1 .. 3;

my $writer = Reconciler::Process->spawn('pgbench', 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions / $clients, '-f', $script,
	'-h', $node->host, '-p', $node->port, 'postgres');

# One that began before them all, and is there until they have ended
my $long = session($node);
$long->query('BEGIN');
$long->query('SELECT pg_current_xact_id()');
$long->query(q{INSERT INTO reconciler.events (kind, request_id, payload) VALUES ('request.detected', 'long', '{"n": 1}')});

my $kills = 0;
my $unread = sub { $session->value("SELECT unread FROM reconciler.consumers WHERE name = 'shipping'") };
my $deadline = time() + 120;
my $committed;
while (time() < $deadline)
{
	sleep 0.2 + rand 0.4;
	my $i = int rand @readers;
	# The psql of a reader that is killed sees that nobody speaks to it any more
	kill KILL => $readers[$i]->pid;
	$kills++;
	$readers[$i]->wait_for_end(5);
	$readers[$i] = start_another();
	next if $writer->is_running;
	if (!defined $committed)
	{
		is($writer->status, 0, 'the writers have written') or diag($writer->output);
		$long->query(q{INSERT INTO reconciler.events (kind, request_id, payload) VALUES ('request.detected', 'long', '{"n": 2}')});
		$long->query('COMMIT');
		$committed = time();
	}
	last if $unread->() == 0;
}
is($unread->(), 0, 'everything has been read');
note("$kills kills");
cmp_ok($kills, '>', 5, 'readers were killed');
kill KILL => $_->pid for @readers;
$_->wait_for_end(5) for @readers;

my (%read, %acked, @reads, @acks);
for my $file (grep { -e } @files)
{
	# Each line as one batch of a reader; an acknowledgement is of all that came before it in the batch
	my @batch;
	for my $line (split /\n/, slurp_file($file))
	{
		my ($what, $at, $event, $request, $n) = split /\|/, $line;
		if ($what eq 'read')
		{
			@batch = () if @batch && $batch[0][0] != $at;
			push @batch, [ $at, $event ];
			push @reads, [ $at, scalar @reads, $event, $request, $n ];
		}
		else
		{
			$acked{ $_->[1] } //= $at for grep { $_->[1] <= $event } @batch;
		}
	}
}
@reads = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @reads;
my ($late, $disordered, $twice) = (0, 0, 0);
my %last;
for my $read (@reads)
{
	my ($at, undef, $event, $request, $n) = @$read;
	if ($read{$event}++)
	{
		$twice++;
		$late++ if defined $acked{$event} && $acked{$event} < $at;
		next;
	}
	$disordered++ if $n <= ($last{$request} // 0);
	$last{$request} = $n;
}
my %written = map { $_->[0] => 1 } $session->query('SELECT event_id FROM reconciler.events');
cmp_ok(scalar keys %written, '>', 100_000, scalar(keys %written) . ' events were committed');
is(scalar(grep { !$read{$_} } keys %written), 0, 'none was missed');
is(scalar(grep { !$written{$_} } keys %read), 0, 'none was read that was rolled back');
is($late, 0, "$twice were read twice, none of them after it was acknowledged");
is($disordered, 0, 'those of a request came in order');
is($session->value("SELECT count(*) FROM counters c WHERE n <> (SELECT count(*) FROM reconciler.events e WHERE e.request_id = c.k::text)"), 0, 'and are complete');

# Old ones go in parts, and hold up nobody
$session->query("UPDATE reconciler.events SET at = now() - interval '8 days'");
my $calls = 0;
$calls++ while $session->value("SELECT reconciler.retire_events('w')") eq 't';
is($session->value('SELECT count(*) FROM reconciler.events'), 0, "all are deleted, in $calls calls");

$session->close;
$long->close;
done_testing();
