/* SPDX-License-Identifier: MIT */
/* What every test program ends with. */
#ifndef VFIOMIG_TEST_SUITE_H
#define VFIOMIG_TEST_SUITE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A unix socket for this process alone: abstract names are the whole machine's, where others run the same test. */
static inline void name_socket(char *spec, size_t room, const char *name)
{
	ck_assert_int_lt(snprintf(spec, room, "unix:@vfm-%s-%d", name, (int)getpid()), (int)room);
}

static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
