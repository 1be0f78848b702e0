# docs/events.md: every statement in it runs, in order, and does what it says;
# the functions that verify a message accept a real one and refuse forged ones.
# And: who waits for events holds nothing while it waits, and hears of them.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Process;
use Reconciler::Test;

my $text = slurp_file("$FindBin::Bin/../../docs/events.md");
my $node = new_node();
my $session = session($node);
$session->query(<<'SQL');
CREATE ROLE shop_app LOGIN;
SELECT reconciler.grant_app('shop_app');
CREATE SCHEMA app AUTHORIZATION shop_app;
SET ROLE shop_app;
SELECT reconciler.create_table('app.payment_requests');
SQL
$session->query('RESET ROLE');
my $source = $session->value('SELECT source_id FROM reconciler.sources');
my $id = '00000000-0000-0000-0000-000000000001';
sub write_event { my ($kind) = @_; return $session->query("SELECT reconciler._event('$kind', $source, '$id', '{\"seen\": \"1000\"}')") }

# The application's statements run as the application, those about webhooks as the administrator
my $app = Reconciler::Session->new($node->connstr('postgres') . ' user=shop_app');
$app->query('SET search_path = app');
my ($before) = $text =~ /\A(.*?)^## Webhooks$/ms;
my @results;
for my $sql ($before =~ /^```sql\n(.*?)^```$/msg)
{
	if ($sql =~ /ack_events\('shipping', 4711\)/)
	{
		my $last = $session->value('SELECT max(event_id) FROM reconciler.events');
		$sql =~ s/4711/$last/;
	}
	write_event('request.confirmed') if $sql =~ /read_events/;
	my @rows = eval { $app->query($sql) };
	is($@, '', 'runs: ' . (split /\n/, $sql)[0]);
	push @results, [ $sql, @rows ];
}
my ($read) = grep { $_->[0] =~ /^SELECT event_id, kind/ } @results;
is($read->[1][3], $id, 'read_events returned the event');
my ($ack) = grep { $_->[0] =~ /^SELECT reconciler.ack_events/m && $_->[0] !~ /BEGIN/ } @results;
is($ack->[1][0], 't', 'ack_events acknowledged it');
is($session->value('SELECT count(*) FROM app.shipments'), 1, 'it was shipped');
is($session->value("SELECT count(*) FROM reconciler.event_consumers"), 0, 'the last statement drops the consumer');

# Shipping again and again ships once
my ($ship) = map { $_->[0] } grep { $_->[0] =~ /BEGIN/ } @results;
$app->query("SELECT reconciler.create_consumer('shipping', start => 'beginning')");
write_event('request.confirmed');
$app->query($ship) for 1 .. 3;
is($session->value('SELECT count(*) FROM app.shipments'), 1, 'once');
is($session->value("SELECT unread FROM reconciler.consumers"), 0, 'and everything is acknowledged');

# Waiting
my $pid = $app->value('SELECT pg_backend_pid()');
$app->send("CALL reconciler.wait_for_events('shipping', '30 seconds')");
ok(wait_until(sub { $session->value("SELECT wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $pid") eq 't' }, 20),
	'who waits holds no snapshot');
my $seen_with_snapshot = grep { $session->value("SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = $pid") eq 't' } 1 .. 50;
cmp_ok($seen_with_snapshot, '<', 25, 'nearly all the time');
write_event('request.confirmed');
$app->result;
is($app->value("SELECT count(*) FROM reconciler.read_events('shipping')"), 1, 'and returns when there is an event');
$app->query("SELECT reconciler.ack_events('shipping', max(event_id)) FROM reconciler.read_events('shipping')");

# Webhooks. Nothing is sent here: that is 241's
my ($webhooks) = $text =~ /^## Webhooks$(.*)\z/ms;
my ($secret, @messages);
for my $sql ($webhooks =~ /^```sql\n(.*?)^```$/msg)
{
	my @rows = eval { $session->query($sql) };
	is($@, '', 'runs: ' . (split /\n/, $sql)[0]);
	if ($sql =~ /add_webhook/)
	{
		$secret = $rows[0][0];
		write_event('request.confirmed');
		$session->query("SELECT reconciler.webhooks_due('w')");
		my $claimed = $session->value("SELECT to_json(c) FROM reconciler.webhooks w, reconciler.claim_webhook('w', w.webhook_id, 1) c");
		my $message = decode_json($claimed);
		push @messages, { body => pack('H*', $message->{body}), headers => {
			'webhook-id' => $message->{message_id}, 'webhook-timestamp' => $message->{timestamp}, 'webhook-signature' => $message->{signature} } };
	}
}
is($session->value('SELECT count(*) FROM reconciler.webhooks'), 0, 'the last statement removes the webhook');
my ($example) = $webhooks =~ /^```json\n(.*?)^```$/ms;
my ($real, $shown) = map { decode_json($_) } $messages[0]{body}, $example;
is_deeply([ sort keys %$real ], [ sort keys %$shown ], 'a message looks as it is shown');
is(scalar(grep { !exists $shown->{data}{$_} } keys %{ $real->{data} }), 0, 'and its data, too');

# A real message, the same with two signatures, and forged ones
my $good = $messages[0];
my $with = sub { my ($part, $value) = @_; return { %$good, headers => { %{ $good->{headers} }, $part => $value } } };
my ($signature, $at) = @{ $good->{headers} }{qw(webhook-signature webhook-timestamp)};
my @cases = (
	[ 1, $good ], [ 1, $with->('webhook-signature', "v1,AAAA $signature") ],
	[ 0, $with->('webhook-signature', 'v1,AAAA') ], [ 0, $with->('webhook-signature', '') ], [ 0, $with->('webhook-id', 'evt_0') ],
	[ 0, $with->('webhook-timestamp', '' . ($at - 1)) ], [ 0, $with->('webhook-timestamp', '' . ($at - 1000)) ], [ 0, { %$good, body => "$good->{body} " } ]);
my $cases = encode_json({ secret => $secret, messages => [ map { $_->[1] } @cases ] });
my $wanted = join '', map { $_->[0] } @cases;

my %program = (
	python => [ 'python3', 'verify.py', sub { "$_[0]\nimport json, sys\ncases = json.load(open(sys.argv[1]))\n"
		  . "print(''.join(str(int(verify(cases['secret'], m['headers'], m['body'].encode()))) for m in cases['messages']))\n" } ],
	js => [ 'node', 'verify.js', sub { "$_[0]\nconst cases = JSON.parse(require('fs').readFileSync(process.argv[2]));\n"
		  . "console.log(cases.messages.map((m) => Number(verify(cases.secret, m.headers, Buffer.from(m.body)))).join(''));\n" } ],
	go => [ 'go', 'verify.go', sub { <<"GO" } ]);
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// In place of net/http's, which takes long to compile
type header map[string]string

func (h header) Get(name string) string { return h[name] }

$_[0]
func main() {
	var cases struct {
		Secret   string
		Messages []struct {
			Headers header
			Body    string
		}
	}
	text, _ := os.ReadFile(os.Args[1])
	if err := json.Unmarshal(text, &cases); err != nil {
		panic(err)
	}
	for _, m := range cases.Messages {
		if verify(cases.Secret, m.Headers, []byte(m.Body)) {
			fmt.Print("1")
		} else {
			fmt.Print("0")
		}
	}
}
GO
my $directory = Reconciler::Process::directory();
local $ENV{PATH} = "$ENV{PATH}:/usr/local/go/bin";
append_to_file("$directory/cases", $cases);
for my $language (sort keys %program)
{
	my ($command, $file, $make) = @{ $program{$language} };
	my ($code) = $webhooks =~ /^```$language\n(.*?)^```$/ms;
	$code =~ s/http\.Header/header/ if $language eq 'go';
  SKIP:
	{
		skip "no $command here to run the example in $language", 1 if system("command -v $command >/dev/null 2>&1");
		append_to_file("$directory/$file", $make->($code));
		local $ENV{GOCACHE} = "$directory/gocache";
		local $ENV{GOFLAGS} = '-mod=mod';
		local $ENV{GO111MODULE} = 'off';
		my @run = $command eq 'go' ? ('go', 'run', "$directory/$file", "$directory/cases") : ($command, "$directory/$file", "$directory/cases");
		my ($out, $err) = run_command(\@run);
		is($out, $wanted, "$language: real messages are accepted, forged ones aren't") or diag($err);
	}
}
$_->close for $app, $session;
done_testing();
