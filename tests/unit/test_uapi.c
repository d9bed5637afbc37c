/* SPDX-License-Identifier: MIT */
/* lib/uapi/ against the reference table: every number, size and offset, and nothing of it forgotten. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uapi/iommufd.h"
#include "uapi/vfio.h"
#include "suite.h"

#include "uapi-table.h"

#define NAME_ROOM 160
#define MAX_REFERENCES 1024

struct reference {
	char name[NAME_ROOM];
	unsigned long long number;
	bool seen;
};

static struct reference references[MAX_REFERENCES];
static size_t reference_count;

static FILE *open_source(const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", SOURCE_ROOT, name);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "cannot open %s", path);
	return file;
}

static void load_references(void)
{
	FILE *file = open_source("tests/unit/uapi-values.txt");
	char line[160];

	reference_count = 0;
	while (fgets(line, sizeof(line), file)) {
		struct reference *reference = &references[reference_count];
		char kind[16];
		char name[64];
		char number[32];

		if (line[0] == '#')
			continue;
		ck_assert_uint_lt(reference_count, MAX_REFERENCES);
		ck_assert_msg(sscanf(line, "%15s %63s %31s", kind, name, number) == 3, "%s", line);
		snprintf(reference->name, sizeof(reference->name), "%s %s", kind, name);
		reference->number = strtoull(number, NULL, 0);
		reference->seen = false;
		reference_count++;
	}
	fclose(file);
}

static struct reference *find_reference(const char *name)
{
	for (size_t i = 0; i < reference_count; i++) {
		if (!strcmp(references[i].name, name))
			return &references[i];
	}
	return NULL;
}

START_TEST(test_every_number_is_the_kernels)
{
	load_references();
	for (size_t i = 0; i < UAPI_ENTRIES; i++) {
		struct reference *reference = find_reference(uapi_entries[i].name);
		unsigned long long ours = uapi_entries[i].number;

		ck_assert_msg(reference != NULL, "%s has no reference", uapi_entries[i].name);
		ck_assert_msg(ours == reference->number, "%s is 0x%llx, reference 0x%llx", uapi_entries[i].name, ours,
			      reference->number);
		reference->seen = true;
	}
	for (size_t i = 0; i < reference_count; i++)
		ck_assert_msg(references[i].seen, "reference %s stands for nothing", references[i].name);
}
END_TEST

static bool is_listed(const char *name)
{
	for (size_t i = 0; i < UAPI_ENTRIES; i++) {
		if (!strcmp(uapi_entries[i].name, name))
			return true;
	}
	return false;
}

/* One line of a header: what it defines must be in the table. */
static unsigned int check_line(const char *line, char *current)
{
	char name[NAME_ROOM];
	char word[64];
	char rest;

	if (sscanf(line, "#define %63[A-Za-z0-9_]%c", word, &rest) == 2 && rest == ' ')
		snprintf(name, sizeof(name), "value %s", word);
	else if (sscanf(line, "struct %63s %c", word, &rest) == 2 && rest == '{')
		snprintf(name, sizeof(name), "size %s", strcpy(current, word));
	else if (current[0] &&
		 (sscanf(line, "\tstruct %*s %63[a-z0-9_]%c", word, &rest) == 2 ||
		  sscanf(line, "\t%*s %63[a-z0-9_]%c", word, &rest) == 2) &&
		 strchr(";[", rest))
		snprintf(name, sizeof(name), "offset %s.%s", current, word);
	else
		return 0;
	ck_assert_msg(is_listed(name), "%s is missing from uapi-list.h", name);
	return 1;
}

static unsigned int check_header(const char *name)
{
	FILE *file = open_source(name);
	char current[64] = "";
	char line[256];
	unsigned int found = 0;

	while (fgets(line, sizeof(line), file)) {
		found += check_line(line, current);
		if (!strncmp(line, "};", 2))
			current[0] = '\0';
	}
	fclose(file);
	return found;
}

START_TEST(test_nothing_is_left_out)
{
	unsigned int found = check_header("lib/uapi/vfio.h") + check_header("lib/uapi/iommufd.h");

	/* A scanner that stopped seeing things would find nothing missing. */
	ck_assert_uint_eq(found, UAPI_ENTRIES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uapi");
	TCase *tcase = tcase_create("uapi");

	tcase_add_test(tcase, test_every_number_is_the_kernels);
	tcase_add_test(tcase, test_nothing_is_left_out);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
