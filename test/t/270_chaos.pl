# A minute of chaos: processes are killed, the server stops, the chain is suspended and reorganised, endpoints cut,
# delay and refuse, and the application changes its requests, all at random. In the end statuses, ledger,
# transitions, events and leases are what an independent reader of all blocks finds.
#
# The long form is "make chaos"; TEST_SEED brings a run back, as far as the timing of processes allows.

use strict;
use warnings;

use Test::More;

use Reconciler::Chaos;

Reconciler::Chaos::run(seconds => $ENV{TEST_CHAOS_SECONDS} || 30);
done_testing();
