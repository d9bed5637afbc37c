/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --json-file: opened before the command, so that it cannot fail for its name afterwards; replaced at the end. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "same-file.h"

#define REFUSED (-1)

/* /dev/null and terminals mix nothing up that somebody keeps. */
static bool is_one(const struct stat *file, const struct stat *other)
{
	return !S_ISCHR(file->st_mode) && same_file(file, other);
}

static bool is_same(const struct stat *file, const char *spec, int standard)
{
	struct stat st;

	return same_file_stat(spec, standard, &st) && is_one(file, &st);
}

/* What an option names that is read or written, or NULL. */
static const char *named_by(const struct option_def *def, const void *at)
{
	if (def->type == OPTION_REST)
		return *(char *const *const *)at ? **(char *const *const *)at : NULL;
	if (def->completes == COMPLETES_ENDPOINT || def->completes == COMPLETES_FILE)
		return def->type == OPTION_STRING ? *(const char *const *)at : NULL;
	return NULL;
}

static bool is_descriptor(const struct stat *file, const struct option_def *def, const void *at)
{
	struct stat st;

	return def->type == OPTION_DESCRIPTOR && *(const uint64_t *)at && fstat((int)*(const uint64_t *)at, &st) == 0 &&
	       is_one(file, &st);
}

static const char *find_in_set(const struct stat *file, const struct option_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct option_def *def = &set->defs[i];
		const void *at = (const char *)set->values + def->offset;
		const char *value = named_by(def, at);

		if (value && (is_same(file, value, STDIN_FILENO) || is_same(file, value, STDOUT_FILENO)))
			return value;
		if (is_descriptor(file, def, at))
			return def->name;
	}
	return NULL;
}

/* What else the file is to the command, or NULL. Of a command that is not known all operands may be files. */
static const char *find_same(const struct cli *cli, const struct stat *file, const struct json_file_users *users)
{
	const char *same = find_in_set(file, &users->set), *machine = cli_machine_name(cli);
	const bool named = !users->command || users->command->operands == COMPLETES_ENDPOINT;

	for (size_t i = 0; named && i < users->count && !same; i++)
		same = is_same(file, users->operands[i], STDIN_FILENO) ? users->operands[i] : NULL;
	if (!same && machine && is_same(file, machine, STDIN_FILENO))
		same = "the simulated machine";
	return same;
}

static int open_file(const char *path, bool *ret_made)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);

	*ret_made = fd >= 0;
	return fd >= 0 || errno != EEXIST ? fd : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
}

int json_file_open(struct cli *cli, const struct json_file_users *users)
{
	const char *path = cli->globals.json_file, *same;
	struct stat st;
	bool made;

	if (!path)
		return 0;
	cli->json_fd = open_file(path, &made);
	if (cli->json_fd < 0 || fstat(cli->json_fd, &st) < 0)
		return cli_fail_errno(cli, CLI_FAILED, errno, NULL, "--json-file", "--json-file: %s: %s", path,
				      strerror(errno));
	same = find_same(cli, &st, users);
	if (!same)
		return 0;
	if (made)
		unlink(path);
	close(cli->json_fd);
	cli->json_fd = REFUSED;
	return cli_usage(cli, "--json-file: %s is the same file as %s", path, same);
}

static int print(struct cli *cli)
{
	struct stat st;
	FILE *file;
	int r;

	if (fstat(cli->json_fd, &st) < 0 || (S_ISREG(st.st_mode) && ftruncate(cli->json_fd, 0) < 0))
		return -1;
	file = fdopen(cli->json_fd, "w");
	if (!file)
		return -1;
	r = out_print_json(cli->doc, file);
	return fclose(file) == 0 ? r : -1;
}

int json_file_print(struct cli *cli)
{
	bool made;

	/* without a command it has not been opened; one refused is not written to */
	if (cli->json_fd < 0)
		return -1;
	errno = 0;
	if (!cli->json_fd)
		cli->json_fd = open_file(cli->globals.json_file, &made);
	if (cli->json_fd >= 0 && print(cli) == 0)
		return 0;
	fprintf(stderr, "%s: --json-file: %s could not be written: %s\n", CLI_NAME, cli->globals.json_file,
		strerror(errno ? errno : ENOMEM));
	return -1;
}
