/* SPDX-License-Identifier: MIT */
/* Finding the process that has a file open. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cli/in-use.h"
#include "../unit/suite.h"

START_TEST(names_the_holder_and_nobody_else)
{
	char path[] = "/tmp/vfm-in-use-XXXXXX", buf[64] = "", want[32];
	int fd = mkstemp(path);
	pid_t child;

	ck_assert_int_ge(fd, 0);
	/* what we have open ourselves does not count */
	ck_assert(!in_use_by(path, buf, sizeof(buf)));
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(fd);
	ck_assert(in_use_by(path, buf, sizeof(buf)));
	snprintf(want, sizeof(want), "%d (", child);
	ck_assert_msg(strncmp(buf, want, strlen(want)) == 0, "%s", buf);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert(!in_use_by(path, buf, sizeof(buf)));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(!in_use_by("/absent", buf, sizeof(buf)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("in_use");
	TCase *tests = tcase_create("in_use");

	tcase_add_test(tests, names_the_holder_and_nobody_else);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
