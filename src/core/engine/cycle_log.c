/* cycle_log.c: what a worker logs of its cycles on one network: changes at once, the rest summed up */
#include "core/engine/cycle_log.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The same text, but for numbers in it: milliseconds, ports */
static bool
same_failure(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (;;)
	{
		if (isdigit((unsigned char) *a) && isdigit((unsigned char) *b))
		{
			a += strspn(a, "0123456789");
			b += strspn(b, "0123456789");
			continue;
		}
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

bool
rc_cycle_log_failure(rc_cycle_log *log, const rc_host *host, const rc_network *network, const char *failure)
{
	int64_t		now = rc_now_ms();
	const rc_field fields[] = {
		rc_field_text("chain", network->chain),
		rc_field_text("network", network->network)
	};

	if (same_failure(log->failure, failure))
		return false;
	if (now - log->changes_since_ms >= RC_CYCLE_CHANGES_MS)
	{
		log->changes_since_ms = now;
		log->changes = 0;
	}
	if (log->changes >= RC_CYCLE_CHANGES_LIMIT)
		return false;
	log->changes++;
	free(log->failure);
	log->failure = failure != NULL ? rc_strdup(failure) : NULL;
	if (failure != NULL)
		rc_log_event(host, RC_LOG_WARNING, "observation failed", fields, 2, failure);
	else
		rc_log_event(host, RC_LOG_INFO, "observation works again", fields, 2, NULL);
	return true;
}

/* count: the line is of several cycles, and says of how many */
static void
log_report(const rc_host *host, const rc_network *network, const char *name, bool count, const rc_cycle_report *report)
{
	const rc_counters *counters = &report->counters;
	rc_field	fields[14];
	int			n = 0;

	fields[n++] = rc_field_text("chain", network->chain);
	fields[n++] = rc_field_text("network", network->network);
	if (count)
		fields[n++] = rc_field_int("cycles", counters->cycles);
	fields[n++] = rc_field_int("claimed", counters->claimed);
	fields[n++] = rc_field_int("scanned", counters->scanned);
	fields[n++] = rc_field_int("confirmed", counters->confirmed);
	fields[n++] = rc_field_int("detected", counters->detected);
	fields[n++] = rc_field_int("expired", counters->expired);
	fields[n++] = rc_field_int("skipped", counters->skipped);
	fields[n++] = rc_field_int("errors", counters->errors);
	fields[n++] = rc_field_int("latency_ms", report->latency_ms);
	if (report->followed)
	{
		fields[n++] = rc_field_int("blocks", report->blocks);
		fields[n++] = rc_field_int("transactions", report->transactions);
		fields[n++] = rc_field_int("payments", report->payments);
	}
	rc_log_event(host, RC_LOG_INFO, name, fields, n, NULL);
}

void
rc_counters_add(rc_counters *sum, const rc_counters *part)
{
	sum->cycles += part->cycles;
	sum->claimed += part->claimed;
	sum->scanned += part->scanned;
	sum->detected += part->detected;
	sum->confirmed += part->confirmed;
	sum->expired += part->expired;
	sum->skipped += part->skipped;
	sum->errors += part->errors;
	sum->http_calls += part->http_calls;
	sum->bytes_sent += part->bytes_sent;
	sum->bytes_received += part->bytes_received;
}

static bool
something_happened(const rc_cycle_report *report)
{
	const rc_counters *counters = &report->counters;

	return counters->detected + counters->confirmed + counters->expired + counters->skipped > 0 ||
		report->blocks + report->payments > 0;
}

void
rc_cycle_log_end(rc_cycle_log *log, const rc_host *host, const rc_network *network,
				 const rc_cycle_report *report, rc_log_cycles which, bool news)
{
	rc_cycle_report *sum = &log->sum;

	if (which == RC_LOG_CYCLES_ALL || news || something_happened(report))
	{
		log_report(host, network, "cycle", false, report);
		return;
	}
	if (log->summed_since_ms == 0)
		log->summed_since_ms = rc_now_ms();
	rc_counters_add(&sum->counters, &report->counters);
	if (sum->latency_ms < report->latency_ms)
		sum->latency_ms = report->latency_ms;
	sum->followed = report->followed;
	sum->blocks += report->blocks;
	sum->transactions += report->transactions;
	sum->payments += report->payments;
}

void
rc_cycle_log_flush(rc_cycle_log *log, const rc_host *host, const rc_network *network, bool last)
{
	if (log->summed_since_ms == 0 || (!last && rc_now_ms() - log->summed_since_ms < RC_CYCLE_SUM_MS))
		return;
	log_report(host, network, "cycles", true, &log->sum);
	memset(&log->sum, 0, sizeof(log->sum));
	log->summed_since_ms = 0;
}

void
rc_cycle_log_free(rc_cycle_log *log)
{
	free(log->failure);
	log->failure = NULL;
}
