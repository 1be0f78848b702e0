/* test_redact.c: nothing secret of a URL gets out */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/net/redact.h"

/* What is shown of a URL */
static void
test_url(void **state)
{
	static const char *const cases[][2] = {
		{"http://127.0.0.1:8545", "http://127.0.0.1:8545"},
		{"http://127.0.0.1:8545/", "http://127.0.0.1:8545"},
		{"https://eth.example.com/v3/0123456789abcdef", "https://eth.example.com/…"},
		{"https://eth.example.com?key=s3cret", "https://eth.example.com/…"},
		{"https://eth.example.com#s3cret", "https://eth.example.com/…"},
		{"https://user:s3cret@eth.example.com:8443/rpc", "https://…@eth.example.com:8443/…"},
		{"https://s3cret@eth.example.com", "https://…@eth.example.com"},
		{"https://user:s3@cret@eth.example.com", "…"},
		{"http://user:s3cret/s3cret@eth.example.com", "…"},
		{"http://[::1]:8545/s3cret", "http://[::1]:8545/…"},
		{"http://bad host s3cret/", "…"},
		{"eth.example.com/s3cret", "…"},
		{"://s3cret", "…"},
		{"", "…"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *shown = rc_url_redact(cases[i][0]);

		assert_string_equal(shown, cases[i][1]);
		assert_null(strstr(shown, "s3cret"));
		free(shown);
	}
}

/* What servers and libraries may quote of a URL */
static void
test_text(void **state)
{
	static const struct
	{
		const char *url;
		const char *text;
		const char *expected;
		const char *userpwd;
	}			cases[] = {
		{"https://h.example/v3/0123456789abcdef", "bad key 0123456789abcdef!", "bad key …!", NULL},
		{"https://h.example/v3/0123456789abcdef", "GET /v3/0123456789abcdef: no", "GET …: no", NULL},
		{"https://h.example/v3/0123456789abcdef", "0123456789abcdef0123456789abcdef", "……", NULL},
		{"https://h.example/v3/0123456789abcdef", "v3 is over", "v3 is over", NULL},
		{"https://h.example/?apikey=s3cret&x=1", "key s3cret", "key …", NULL},
		{"https://h.example/?apikey=s3cret&x=1", "?apikey=s3cret&x=1", "?…&x=1", NULL},
		{"https://bob:s3cret@h.example/", "bob:s3cret is not known", "… is not known", NULL},
		{"https://bob:s3cret@h.example/", "password s3cret", "password …", NULL},
		{"https://bob:pw@h.example/", "password pw", "password *", NULL},
		{"https://bob:s%33cret%21@h.example/", "password s3cret!", "password …", NULL},
		{"https://longuser:x123@h.example/", "no such user longuser", "no such user …", NULL},
		{"http://h.example", "h.example refused", "h.example refused", NULL},
		{"nonsense/s3cret", "cannot parse nonsense/s3cret", "cannot parse …", NULL},
		{"http://u:a/s3cret@h.example", "cannot resolve u:a/s3cret@h.example", NULL, NULL},
		/* In another case, percent-encoded, and as it is sent */
		{"https://h.example/v3/0123456789abcdef", "bad key 0123456789ABCDEF!", "bad key …!", NULL},
		{"https://h.example/v3/0123456789ABCDEF", "bad key 0123456789aBcDeF!", "bad key …!", NULL},
		{"https://h.example/?apikey=s3cret%2F1", "key S3CRET%2f1 and s3cret/1", "key … and …", NULL},
		{"https://h.example/?apikey=s3cret1", "key %73%33cret1", "key …", NULL},
		{"https://h.example/rpc", "JSON-RPC error: no /rpc", "JSON-RPC error: no /rpc", NULL},
		{"https://h.example/?apikey=s3cret", "the apikey is wrong", "the apikey is wrong", NULL},
		{"https://h.example/?s3cret", "no s3cret", "no …", NULL},
		{"https://h.example/x#s3cret", "no s3cret", "no …", NULL},
		{"https://bob:s3cret@h.example/", "Basic Ym9iOnMzY3JldA==", "Basic …==", NULL},
		{"https://bob:s3cr%65t@h.example/", "Basic Ym9iOnMzY3JldA", "Basic …", NULL},
		{"https://s3cretkey@h.example/", "Basic czNjcmV0a2V5Og==", "Basic …==", NULL},
		{"https://:s3cret@h.example/", "no s3cret", "no …", NULL},
		{"http://h.example/", "__cookie__:s3cret00", "…", "__cookie__:s3cret00"},
		{"http://h.example/", "got X19jb29raWVfXzpzM2NyZXQwMA==", "got …==", "__cookie__:s3cret00"},
		{"http://h.example/?cookie=/d/s3cret/.cookie", "open /d/s3cret/.cookie failed", "open … failed", NULL},
		{"https://bob:s3cret%25@h.example/", "password s3cret% s3cret%25", "password … …", NULL},
		{"https://bob:s3cret@h.example/", "cut at % %7", "cut at % %7", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *text = strdup(cases[i].text);

		rc_text_redact(text, cases[i].url, cases[i].userpwd);
		if (cases[i].expected != NULL)
			assert_string_equal(text, cases[i].expected);
		assert_null(strstr(text, "s3cret"));
		assert_null(strstr(text, "0123456789abcdef"));
		assert_null(strstr(text, "password pw"));
		assert_null(strstr(text, "nMzY3Jld"));
		assert_null(strstr(text, "czNjcmV0"));
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_url), cmocka_unit_test(test_text)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
