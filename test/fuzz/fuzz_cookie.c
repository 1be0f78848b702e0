/* fuzz_cookie.c: what stands in a node's cookie file */
#include <stdio.h>
#include <unistd.h>

#include "core/chain/bitcoin/node_rpc.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		path[] = "/tmp/fuzz_cookie.XXXXXX";
	int			fd = mkstemp(path);
	char	   *problem = NULL;
	char	   *cookie;

	if (fd < 0 || write(fd, data, size) != (ssize_t) size)
		abort();
	close(fd);
	cookie = rc_bitcoind_read_cookie(path, &problem);
	unlink(path);
	/* A cookie, or what is wrong with it; never a part of another file's content */
	if ((cookie == NULL) == (problem == NULL) || (cookie != NULL && strncmp(cookie, "__cookie__:", 11) != 0))
		abort();
	free(cookie);
	free(problem);
	return 0;
}
