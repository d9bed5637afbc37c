/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file of sections "[DRIVER]" with lines "KEY = VALUE"; empty lines and those that begin with '#' are passed over. */
#include "quirks-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

struct quirks_file {
	const char *path;
	unsigned long line;
	char driver[64]; /* "" before the first section */
};

/* Cut off at both ends. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length && strchr(BLANKS, text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

static int complain(struct cli *cli, const struct quirks_file *file, const char *what)
{
	return cli_usage(cli, "--quirks-file: %s:%lu: %s", file->path, file->line, what);
}

static int take_section(struct cli *cli, struct quirks_file *file, char *text)
{
	char *end = strchr(text, ']'), *name;

	if (!end || end[1])
		return complain(cli, file, "a section is [DRIVER]");
	*end = '\0';
	name = trim(text + 1);
	if (!*name || strlen(name) >= sizeof(file->driver))
		return complain(cli, file, "a section is [DRIVER]");
	strcpy(file->driver, name);
	return 0;
}

static int take_value(struct cli *cli, const struct quirks_file *file, char *text)
{
	char *value = strchr(text, '=');
	VFM_OPTS(vfm_error, error);

	if (!value)
		return complain(cli, file, "KEY = VALUE is expected");
	if (!*file->driver)
		return complain(cli, file, "a section [DRIVER] comes first");
	*value++ = '\0';
	if (vfm_context_set_quirk(cli->ctx, file->driver, trim(text), trim(value), &error) < 0)
		return complain(cli, file, error.message);
	return 0;
}

static int take_line(struct cli *cli, struct quirks_file *file, char *text)
{
	file->line++;
	text = trim(text);
	if (!*text || *text == '#')
		return 0;
	return *text == '[' ? take_section(cli, file, text) : take_value(cli, file, text);
}

static int read_all(struct cli *cli, struct quirks_file *state, FILE *file)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int r = 0;

	while (!r && (length = getline(&line, &room, file)) >= 0) {
		if (strlen(line) != (size_t)length) {
			state->line++;
			r = complain(cli, state, "there is a zero byte");
		} else {
			r = take_line(cli, state, line);
		}
	}
	free(line);
	if (!r && ferror(file))
		r = cli_usage(cli, "--quirks-file: %s: %s", state->path, strerror(errno));
	return r;
}

int quirks_file_apply(struct cli *cli, const char *path)
{
	struct quirks_file state = { .path = path };
	FILE *file = fopen(path, "re");
	int r;

	if (!file)
		return cli_usage(cli, "--quirks-file: %s: %s", path, strerror(errno));
	r = read_all(cli, &state, file);
	fclose(file);
	return r;
}
