/* hosts.c: where events may be sent */
#include "core/outbox/hosts.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/memory.h"

/* Addresses are compared as IPv6; those of IPv4 are mapped, their networks' lengths 96 longer */
typedef struct network
{
	uint8_t		address[16];
	int			bits;
} network;

struct rc_hosts
{
	char	  **names;			/* without a leading "*", which leaves ".name"; "" is all names */
	int			nnames;
	network    *networks;
	int			nnetworks;
};

/* What is not the public internet: IANA's registries of special-purpose addresses */
static const char *const special[] = {
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	"fc00::/7", "fe80::/9", "ff00::/8"
};

/* An IPv4 address that an IPv6 one stands for: mapped, or translated (NAT64) */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t translated[12] = {0, 0x64, 0xff, 0x9b};

/* "10.0.0.1", "[::1]", "fe80::/10"; false: it is no address */
static bool
parse_network(const char *text, network *result)
{
	char		address[64];
	const char *slash = strchr(text, '/');
	size_t		len = slash != NULL ? (size_t) (slash - text) : strlen(text);
	char	   *end;
	int			added = 0;

	if (len > 1 && text[0] == '[' && text[len - 1] == ']')
	{
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	memcpy(result->address, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, address, result->address + 12) == 1)
		added = 96;
	else if (inet_pton(AF_INET6, address, result->address) != 1)
		return false;
	result->bits = 128;
	if (slash == NULL)
		return true;
	result->bits = (int) strtol(slash + 1, &end, 10) + added;
	return slash[1] >= '0' && slash[1] <= '9' && *end == '\0' && strlen(slash + 1) <= 3 && result->bits <= 128;
}

static bool
in_network(const uint8_t *address, const network *net)
{
	int			bytes = net->bits / 8;
	int			rest = net->bits % 8;

	return memcmp(address, net->address, (size_t) bytes) == 0 &&
		(rest == 0 || (address[bytes] ^ net->address[bytes]) >> (8 - rest) == 0);
}

static bool
in_networks(const uint8_t *address, const network *networks, int n)
{
	for (int i = 0; i < n; i++)
		if (in_network(address, &networks[i]))
			return true;
	return false;
}

static bool
is_special(const uint8_t *address)
{
	network		net;

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (parse_network(special[i], &net) && in_network(address, &net))
			return true;
	return false;
}

/* Letters, digits, "-", "_" and "." only, after a "*." or not */
static bool
is_name(const char *text)
{
	if (strcmp(text, "*") == 0)
		return true;
	if (strncmp(text, "*.", 2) == 0)
		text += 2;
	return *text != '\0' && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(text);
}

/* False: the entry is neither a name nor an address */
static bool
add_entry(rc_hosts *hosts, const char *entry)
{
	network		net;

	if (parse_network(entry, &net))
	{
		hosts->networks = rc_realloc(hosts->networks, (size_t) (hosts->nnetworks + 1) * sizeof(network));
		hosts->networks[hosts->nnetworks++] = net;
		return true;
	}
	if (!is_name(entry))
		return false;
	hosts->names = rc_realloc(hosts->names, (size_t) (hosts->nnames + 1) * sizeof(char *));
	hosts->names[hosts->nnames++] = rc_strdup(entry[0] == '*' ? entry + 1 : entry);
	return true;
}

rc_hosts *
rc_hosts_parse(const char *list, char **problem)
{
	rc_hosts   *hosts = rc_calloc(1, sizeof(*hosts));
	char	   *copy = rc_strdup(list);
	char	   *position = NULL;

	*problem = NULL;
	for (char *entry = strtok_r(copy, ", \t\n", &position); entry != NULL && *problem == NULL;
		 entry = strtok_r(NULL, ", \t\n", &position))
	{
		if (!add_entry(hosts, entry))
			*problem = rc_asprintf("\"%s\" is neither the name of a host nor an address or a network.", entry);
	}
	free(copy);
	if (*problem == NULL)
		return hosts;
	rc_hosts_free(hosts);
	return NULL;
}

void
rc_hosts_free(rc_hosts *hosts)
{
	if (hosts == NULL)
		return;
	for (int i = 0; i < hosts->nnames; i++)
		free(hosts->names[i]);
	free(hosts->names);
	free(hosts->networks);
	free(hosts);
}

/* A dot at a name's end changes nothing */
static size_t
name_length(const char *name)
{
	size_t		len = strlen(name);

	return len > 1 && name[len - 1] == '.' ? len - 1 : len;
}

/* named: by more than "*" */
static bool
name_listed(const rc_hosts *hosts, const char *host, bool named)
{
	size_t		len = name_length(host);

	for (int i = 0; i < hosts->nnames; i++)
	{
		const char *name = hosts->names[i];
		size_t		name_len = name_length(name);

		if (name[0] == '\0')
		{
			if (!named)
				return true;
		}
		else if (name[0] == '.' ? len > name_len && strncasecmp(host + len - name_len, name, name_len) == 0 :
				 len == name_len && strncasecmp(host, name, len) == 0)
			return true;
	}
	return false;
}

static bool
list_is_empty(const rc_hosts *hosts)
{
	return hosts->nnames == 0 && hosts->nnetworks == 0;
}

static bool
allow(const rc_hosts *hosts, const char *host, const uint8_t *address)
{
	if (in_networks(address, hosts->networks, hosts->nnetworks))
		return true;
	return !is_special(address) && (list_is_empty(hosts) || name_listed(hosts, host, false));
}

bool
rc_hosts_allow(const rc_hosts *hosts, const char *host, const struct sockaddr *address)
{
	uint8_t		bytes[16];

	memcpy(bytes, mapped, sizeof(mapped));
	if (address->sa_family == AF_INET)
		memcpy(bytes + 12, &((const struct sockaddr_in *) (const void *) address)->sin_addr, 4);
	else if (address->sa_family == AF_INET6)
	{
		memcpy(bytes, &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr, 16);
		if (memcmp(bytes, translated, sizeof(translated)) == 0)
			memcpy(bytes, mapped, sizeof(mapped));
	}
	else
		return false;
	return allow(hosts, host, bytes);
}

/* Does the URL's text name a host that nothing is sent to? */
static char *
host_problem(const rc_hosts *hosts, const char *host, bool tls)
{
	network		net;
	bool		is_address = parse_network(host, &net) && strchr(host, '/') == NULL;

	if (is_address ? !allow(hosts, host, net.address) :
		!list_is_empty(hosts) && hosts->nnetworks == 0 && !name_listed(hosts, host, false))
		return rc_asprintf(is_address && is_special(net.address) ?
						   "%s is no public address, and isn't listed in reconciler.webhook_hosts" :
						   "%s isn't listed in reconciler.webhook_hosts", host);
	if (!tls && !(is_address ? in_networks(net.address, hosts->networks, hosts->nnetworks) : name_listed(hosts, host, true)))
		return rc_asprintf("%s isn't listed in reconciler.webhook_hosts, so it must be https", host);
	return NULL;
}

char *
rc_hosts_url_problem(const rc_hosts *hosts, const char *url, char **host)
{
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL;
	char	   *name = NULL;
	char	   *problem = NULL;

	if (parsed == NULL || strpbrk(url, " \t\r\n\\") != NULL || strstr(url, "://") == NULL || strlen(url) > 2000 ||
		curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parsed, CURLUPART_HOST, &name, 0) != CURLUE_OK)
		problem = rc_strdup("it is no URL");
	else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
		problem = rc_strdup("it is neither https nor http");
	else
		problem = host_problem(hosts, name, strcmp(scheme, "https") == 0);
	if (problem == NULL && host != NULL)
		*host = rc_strdup(name);
	curl_free(scheme);
	curl_free(name);
	curl_url_cleanup(parsed);
	return problem;
}
