/*
 * guard.c
 *	  Where a call may go, and how often.
 *
 * Two callbacks of libcurl decide.  OPENSOCKET sees each numeric address
 * before a connection to it is begun; PREREQ sees the peer again before each
 * wire send, also where an open connection is used once more and OPENSOCKET is
 * not asked.  The address that is judged is the one connected to, so a name
 * that resolves differently the next time gains nothing.
 *
 * PREREQ also keeps the promise that one attempt is at most one wire send:
 * libcurl repeats a request by itself when a connection that it used again
 * dies, and that second send is refused.  Whether PREREQ was reached is what
 * tells "not sent" from "may have been sent".
 *
 * Nothing in here allocates in a memory context or raises an error.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <sys/socket.h>

#include "http/call.h"

#define MAX_OWN_ADDRESSES 64

/*
 * Private, local, special and documentation ranges; none is a public host.  Of
 * IPv6 only 2000::/3 is given out at all.  168.63.129.16 serves the virtual
 * machines of a cloud, as 169.254.169.254 does elsewhere.
 */
static const char *const blocked_ranges[] = {
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
	"169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	"4000::/2", "8000::/1",
};

static WfAddressRange blocked[lengthof(blocked_ranges)];
static bool blocked_is_parsed = false;
static WfAddressRange own[MAX_OWN_ADDRESSES];
static int	nown = 0;

static void
set_ipv4(WfAddressRange *range, const void *address)
{
	memset(range->address, 0, 10);
	memset(range->address + 10, 0xff, 2);
	memcpy(range->address + 12, address, 4);
	range->bits = 128;
}

/*
 * Reads a numeric address, without a zone or a mask.
 */
static bool
parse_address(const char *text, WfAddressRange *range)
{
	struct in_addr ipv4;

	range->bits = 128;
	if (inet_pton(AF_INET6, text, range->address) == 1)
		return true;
	if (inet_pton(AF_INET, text, &ipv4) != 1)
		return false;
	set_ipv4(range, &ipv4);

	return true;
}

/*
 * Reads "address/bits" or a single address.
 */
static bool
parse_range(const char *text, WfAddressRange *range)
{
	char		address[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t		length = slash == NULL ? strlen(text) : slash - text;
	char	   *end;
	long		bits;
	bool		is_ipv6 = strchr(text, ':') != NULL;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (!parse_address(address, range))
		return false;
	if (slash == NULL)
		return true;

	bits = strtol(slash + 1, &end, 10);
	if (end == slash + 1 || *end != '\0' || bits < 0 || bits > (is_ipv6 ? 128 : 32))
		return false;
	range->bits = is_ipv6 ? bits : bits + 96;

	return true;
}

static bool
range_contains(const WfAddressRange *range, const WfAddressRange *address)
{
	int			nbytes = range->bits / 8;
	int			nbits = range->bits % 8;

	if (memcmp(range->address, address->address, nbytes) != 0)
		return false;

	return nbits == 0 ||
		(range->address[nbytes] ^ address->address[nbytes]) >> (8 - nbits) == 0;
}

static bool
is_ipv4(const WfAddressRange *address)
{
	static const unsigned char mapped[12] = {[10] = 0xff,[11] = 0xff};

	return memcmp(address->address, mapped, sizeof(mapped)) == 0;
}

/*
 * Ranges of IPv6 do not speak of IPv4, although it is held within ::/3.
 */
static bool
any_contains(const WfAddressRange *ranges, int nranges, const WfAddressRange *address)
{
	for (int i = 0; i < nranges; i++)
		if (is_ipv4(&ranges[i]) == is_ipv4(address) && range_contains(&ranges[i], address))
			return true;

	return false;
}

static void
parse_blocked_ranges(void)
{
	for (int i = 0; i < lengthof(blocked_ranges); i++)
		if (!parse_range(blocked_ranges[i], &blocked[i]))
			elog(ERROR, "address range \"%s\" is malformed", blocked_ranges[i]);
	blocked_is_parsed = true;
}

/*
 * Notes the addresses of this host, which are as private as its loopback.
 * Called once, before the first call.
 */
void
wf_guard_learn_own_addresses(void)
{
	struct ifaddrs *interfaces;

	if (!blocked_is_parsed)
		parse_blocked_ranges();

	nown = 0;
	if (getifaddrs(&interfaces) != 0)
		return;
	for (struct ifaddrs *each = interfaces; each != NULL; each = each->ifa_next)
	{
		if (each->ifa_addr == NULL || nown == MAX_OWN_ADDRESSES)
			continue;
		if (each->ifa_addr->sa_family == AF_INET)
			set_ipv4(&own[nown++], &((struct sockaddr_in *) each->ifa_addr)->sin_addr);
		else if (each->ifa_addr->sa_family == AF_INET6)
		{
			memcpy(own[nown].address,
				   &((struct sockaddr_in6 *) each->ifa_addr)->sin6_addr, 16);
			own[nown++].bits = 128;
		}
	}
	freeifaddrs(interfaces);
}

/*
 * Exempts ranges (a List of char *) from the block list.  One that cannot be
 * read exempts nothing.  Returns false when out of memory.
 */
bool
wf_guard_allow(WfGuard *guard, List *ranges)
{
	ListCell   *cell;

	if (ranges == NIL)
		return true;
	guard->allowed = calloc(list_length(ranges), sizeof(WfAddressRange));
	if (guard->allowed == NULL)
		return false;
	foreach(cell, ranges)
	{
		if (parse_range(lfirst(cell), &guard->allowed[guard->nallowed]))
			guard->nallowed++;
	}

	return true;
}

/*
 * NAT64 carries an IPv4 address in its last bytes: that one counts.
 */
static void
unwrap_nat64(WfAddressRange *address)
{
	static const unsigned char prefix[12] = {0x00, 0x64, 0xff, 0x9b};

	if (memcmp(address->address, prefix, sizeof(prefix)) == 0)
	{
		unsigned char ipv4[4];

		memcpy(ipv4, address->address + 12, 4);
		set_ipv4(address, ipv4);
	}
}

static bool
address_is_allowed(const WfGuard *guard, WfAddressRange *address)
{
	unwrap_nat64(address);
	if (any_contains(guard->allowed, guard->nallowed, address))
		return true;

	return !any_contains(blocked, lengthof(blocked), address) &&
		!any_contains(own, nown, address);
}

static void
note_refusal(WfGuard *guard, const WfAddressRange *address)
{
	bool		is_mapped = is_ipv4(address);
	size_t		length = strlen(guard->refused_ranges);
	char		range[INET6_ADDRSTRLEN + 5];

	guard->refused_one = true;
	(void) inet_ntop(is_mapped ? AF_INET : AF_INET6,
					 is_mapped ? address->address + 12 : address->address,
					 range, INET6_ADDRSTRLEN);
	strlcat(range, is_mapped ? "/32" : "/128", sizeof(range));
	if (strstr(guard->refused_ranges, range) == NULL &&
		length + strlen(range) + 1 < sizeof(guard->refused_ranges))
		snprintf(guard->refused_ranges + length, sizeof(guard->refused_ranges) - length,
				 "%s%s", length == 0 ? "" : ",", range);
}

static bool
judge(WfGuard *guard, WfAddressRange *address)
{
	if (!address_is_allowed(guard, address))
	{
		note_refusal(guard, address);
		return false;
	}
	guard->passed_one = true;

	return true;
}

bool
wf_http_address_is_allowed(const char *address, List *allow_private)
{
	WfGuard		guard = {0};
	WfAddressRange parsed;
	bool		is_allowed;

	wf_guard_learn_own_addresses();
	if (!parse_address(address, &parsed) || !wf_guard_allow(&guard, allow_private))
		return false;
	is_allowed = address_is_allowed(&guard, &parsed);
	free(guard.allowed);

	return is_allowed;
}

/*
 * CURLOPT_OPENSOCKETFUNCTION: makes a socket for an allowed address only.
 */
curl_socket_t
wf_guard_open_socket(void *guard, curlsocktype purpose, struct curl_sockaddr *address)
{
	WfAddressRange peer;

	if (address->family == AF_INET)
		set_ipv4(&peer, &((struct sockaddr_in *) &address->addr)->sin_addr);
	else if (address->family == AF_INET6)
	{
		memcpy(peer.address, &((struct sockaddr_in6 *) &address->addr)->sin6_addr, 16);
		peer.bits = 128;
	}
	else
		return CURL_SOCKET_BAD;

	if (purpose != CURLSOCKTYPE_IPCXN || !judge(guard, &peer))
		return CURL_SOCKET_BAD;

	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/*
 * CURLOPT_PREREQFUNCTION: called right before a request is written.  Lets the
 * first send to an allowed peer pass, and no other.
 */
int
wf_guard_before_send(void *data, char *peer_address, char *local_address,
					 int peer_port, int local_port)
{
	WfGuard    *guard = data;
	WfAddressRange peer;

	if (guard->nsends > 0)
	{
		guard->resend_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!parse_address(peer_address, &peer))
	{
		guard->refused_one = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!judge(guard, &peer))
	{
		guard->passed_one = false;
		return CURL_PREREQFUNC_ABORT;
	}
	guard->nsends++;

	return CURL_PREREQFUNC_OK;
}
