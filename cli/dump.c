/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --dump-commands: the tables as JSON, from which completion is generated and with which the manual page is compared.
 */
#include <json-c/json.h>

#include "cli.h"

static const char *completes_name(enum completes completes)
{
	static const char *const names[] = { "nothing", "file", "device", "endpoint", "state", "command" };

	return completes < ARRAY_SIZE(names) ? names[completes] : names[0];
}

static struct json_object *words_of(const char *const *words)
{
	struct json_object *array = json_object_new_array();

	for (; words && *words; words++)
		json_object_array_add(array, json_object_new_string(*words));
	return array;
}

static struct json_object *text_or_null(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

static struct json_object *option_of(const struct option_def *def)
{
	struct json_object *option = json_object_new_object();
	const char letter[2] = { def->letter, '\0' };

	json_object_object_add(option, "name", json_object_new_string(def->name));
	json_object_object_add(option, "letter", text_or_null(def->letter ? letter : NULL));
	json_object_object_add(option, "value", text_or_null(def->value));
	json_object_object_add(option, "value_optional", json_object_new_boolean(def->type == OPTION_OPTIONAL));
	json_object_object_add(option, "takes_rest", json_object_new_boolean(def->type == OPTION_REST));
	json_object_object_add(option, "help", json_object_new_string(def->help));
	json_object_object_add(option, "choices", words_of(def->choices));
	json_object_object_add(option, "completes", json_object_new_string(completes_name(def->completes)));
	return option;
}

static struct json_object *options_of(const struct option_def *defs, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, option_of(&defs[i]));
	return array;
}

static struct json_object *command_of(const struct command *command)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(command->name));
	json_object_object_add(object, "summary", json_object_new_string(command->summary));
	json_object_object_add(object, "usage", json_object_new_string(command->usage));
	json_object_object_add(object, "operands", json_object_new_string(completes_name(command->operands)));
	json_object_object_add(object, "second_choices", words_of(command->second_choices));
	json_object_object_add(object, "options", options_of(command->options, command->option_count));
	return object;
}

static struct json_object *commands(void)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < cli_command_count; i++)
		json_object_array_add(array, command_of(cli_commands[i]));
	return array;
}

static struct json_object *exits(void)
{
	struct json_object *array = json_object_new_array();

	for (const struct exit_meaning *exit = cli_exits; exit->name; exit++) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "code", json_object_new_int(exit->code));
		json_object_object_add(object, "name", json_object_new_string(exit->name));
		json_object_object_add(object, "meaning", json_object_new_string(exit->meaning));
		json_object_array_add(array, object);
	}
	return array;
}

int cli_dump_commands(FILE *file)
{
	struct json_object *document = json_object_new_object();
	int r;

	json_object_object_add(document, "schema_version", json_object_new_int(CLI_SCHEMA_VERSION));
	json_object_object_add(document, "program", json_object_new_string(CLI_NAME));
	json_object_object_add(document, "version", json_object_new_string(vfm_version()));
	json_object_object_add(document, "options", options_of(cli_global_options, cli_global_option_count));
	json_object_object_add(document, "commands", commands());
	json_object_object_add(document, "device_forms", words_of(cli_device_forms));
	json_object_object_add(document, "endpoint_forms", words_of(cli_endpoint_forms));
	json_object_object_add(document, "exit_codes", exits());
	r = fprintf(file, "%s\n",
		    json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
	return r < 0 ? CLI_FAILED : CLI_DONE;
}
