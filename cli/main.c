/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl: from the command line to a command, and from its outcome to what is printed and the exit code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activation.h"
#include "cli.h"

/* A command's own options, and those of every command, which may stand before or after its name. */
struct invocation {
	const struct command *command;
	void *config;
	struct parse_result parsed;
};

static struct option_set global_set(struct cli *cli)
{
	return (struct option_set){ cli_global_options, cli_global_option_count, &cli->globals };
}

static const struct command *find_command_among(int argc, char **argv)
{
	const struct command *command = NULL;

	for (int i = 1; i < argc && !command; i++)
		command = cli_find_command(argv[i]);
	return command;
}

/*
 * How a mistake is to be told may stand after it. The tables are used, since what looks like an option may be the value
 * of another; and what the document's file is to the command matters all the same.
 */
static void find_json(struct cli *cli, int argc, char **argv)
{
	const struct command *command = cli->command ? cli->command : find_command_among(argc, argv);
	void *config = command ? calloc(1, command->config_size ? command->config_size : 1) : NULL;
	struct globals seen = { 0 };
	struct json_file_users users = { .command = command };
	struct parse_result parsed;

	if (config)
		users.set = (struct option_set){ command->options, command->option_count, config };
	const struct parse_request request = {
		.sets = { users.set, { cli_global_options, cli_global_option_count, &seen } },
		.lenient = true,
		.argc = argc,
		.argv = argv,
	};
	(void)options_parse(&request, &parsed);
	cli->globals.json |= seen.json;
	if (!cli->globals.json_file)
		cli->globals.json_file = seen.json_file;
	if (!cli->globals.sim)
		cli->globals.sim = seen.sim;
	users.operands = parsed.operands;
	users.count = parsed.count;
	(void)json_file_open(cli, &users);
	options_clear(&users.set);
	free(config);
	free(parsed.operands);
}

static int parse_globals(struct cli *cli, int argc, char **argv, struct parse_result *ret)
{
	const struct parse_request request = {
		.sets = { global_set(cli) },
		.stop_at_operand = true,
		.argc = argc,
		.argv = argv,
	};

	if (options_parse(&request, ret) == 0)
		return 0;
	find_json(cli, argc, argv);
	return cli_usage(cli, "%s", ret->message);
}

static int open_json_file(struct cli *cli, const struct invocation *inv, const struct option_set *set)
{
	const struct json_file_users users = {
		.command = inv->command,
		.set = *set,
		.operands = inv->parsed.operands,
		.count = inv->parsed.count,
	};

	return json_file_open(cli, &users);
}

static int parse_command(struct cli *cli, struct invocation *inv, int argc, char **argv)
{
	const struct command *command = inv->command;
	struct parse_request request = { .sets = { { 0 }, global_set(cli) }, .argc = argc, .argv = argv };
	int r;

	inv->config = calloc(1, command->config_size ? command->config_size : 1);
	if (!inv->config)
		return cli_fail_memory(cli);
	request.sets[0] = (struct option_set){ command->options, command->option_count, inv->config };
	if (options_parse(&request, &inv->parsed) < 0) {
		find_json(cli, argc, argv);
		return cli_usage(cli, "%s", inv->parsed.message);
	}
	if (cli->globals.help)
		return 0;
	r = open_json_file(cli, inv, &request.sets[0]);
	if (r)
		return r;
	if (inv->parsed.count < command->min_operands)
		return cli_usage(cli, "%s: too few arguments", command->name);
	if (inv->parsed.count > command->max_operands)
		return cli_usage(cli, "%s: '%s' is one argument too many", command->name,
				 inv->parsed.operands[command->max_operands]);
	return 0;
}

static void clear_invocation(struct invocation *inv)
{
	if (inv->config)
		options_clear(&(struct option_set){ inv->command->options, inv->command->option_count, inv->config });
	free(inv->config);
	free(inv->parsed.operands);
}

static int run_command(struct cli *cli, struct invocation *inv)
{
	int r = inv->command->needs_machine ? cli_open_machine(cli) : 0;

	if (r == 0)
		r = inv->command->run(cli, inv->config, inv->parsed.operands, inv->parsed.count);
	return r;
}

static int dispatch(struct cli *cli, char **operands, size_t count)
{
	struct invocation inv = { .command = cli_find_command(operands[0]) };
	int r;

	if (!inv.command) {
		find_json(cli, (int)count, operands);
		return cli_usage(cli, "unknown command '%s'", operands[0]);
	}
	cli->command = inv.command;
	r = parse_command(cli, &inv, (int)count, operands);
	if (r == 0 && cli->globals.help)
		cli_print_command_help(stdout, inv.command);
	else if (r == 0)
		r = run_command(cli, &inv);
	clear_invocation(&inv);
	return r;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct parse_result parsed;
	int r = parse_globals(cli, argc, argv, &parsed);

	if (r == 0 && cli->globals.dump_commands)
		r = cli_dump_commands(stdout);
	else if (r == 0 && cli->globals.help)
		cli_print_help(stdout);
	else if (r == 0 && cli->globals.version)
		r = cmd_version.run(cli, NULL, NULL, 0);
	else if (r == 0 && parsed.count == 0)
		r = cli_usage(cli, "a command is missing");
	else if (r == 0)
		r = dispatch(cli, parsed.operands, parsed.count);
	free(parsed.operands);
	return r;
}

/* Nobody learns what was done to a device, so somebody has to look. */
static int unprinted_code(const struct cli *cli)
{
	return cli->changed ? CLI_ATTENTION : CLI_FAILED;
}

bool cli_wants_json(const struct cli *cli)
{
	return cli->globals.json || cli->globals.json_file;
}

static int print_json(struct cli *cli)
{
	return cli->globals.json_file ? json_file_print(cli) : out_print_json(cli->doc, stdout);
}

static int print_text(struct cli *cli)
{
	FILE *file = cli->data_on_stdout ? stderr : stdout;
	const bool chatter = !cli->globals.quiet;

	if (cli->told)
		return 0;
	if (cli_is_simulated(cli) && out_has_text(cli->doc, chatter))
		fprintf(file, "SIMULATED machine %s\n", *cli->sim_value ? cli->sim_value : "in memory");
	return out_print_text(cli->doc, file, chatter);
}

void cli_tell_now(struct cli *cli)
{
	if (cli_wants_json(cli))
		return;
	progress_end(cli);
	print_text(cli);
	fflush(stdout);
	cli->told = true;
}

static bool is_plain_output(const struct cli *cli)
{
	return cli->globals.help || cli->globals.dump_commands || cli->command == &cmd_help;
}

/* What was told until now, once; a failure to print turns success into failure. */
static int print_document(struct cli *cli, int code)
{
	int r;

	if (is_plain_output(cli) && code == CLI_DONE)
		return code;
	out_number(cli->doc, "exit_code", NULL, (uint64_t)code, OUT_PLAIN);
	progress_end(cli);
	r = cli_wants_json(cli) ? print_json(cli) : print_text(cli);
	return r && code == CLI_DONE ? unprinted_code(cli) : code;
}

/* A full disk shows at the last write, or only when the descriptor is closed. */
static int close_stdout(const struct cli *cli, int code)
{
	bool failed = ferror(stdout) || fflush(stdout) != 0;

	if (close(STDOUT_FILENO) < 0 && errno != EBADF)
		failed = true;
	if (!failed)
		return code;
	fprintf(stderr, "%s: standard output could not be written: %s\n", CLI_NAME, strerror(errno));
	return code == CLI_DONE ? unprinted_code(cli) : code;
}

static void begin_document(struct cli *cli)
{
	cli->doc = out_new();
	out_number(cli->doc, "schema_version", NULL, CLI_SCHEMA_VERSION, OUT_PLAIN);
}

/* A file opened later must not become a standard stream; what is opened in the wrong direction fails as a closed one.
 */
static int fill_standard_descriptors(void)
{
	static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct cli cli = { 0 };
	int code;

	if (fill_standard_descriptors() < 0)
		return CLI_FAILED;
	signal(SIGPIPE, SIG_IGN);
	begin_document(&cli);
	code = activation_begin(&cli);
	if (code == CLI_DONE)
		code = run(&cli, argc, argv);
	out_text(cli.doc, "command", NULL, "%s", cli.command ? cli.command->name : "");
	out_bool(cli.doc, "simulated", NULL, cli_is_simulated(&cli));
	code = print_document(&cli, code);
	cli_close_machine(&cli);
	activation_end(&cli);
	names_forget();
	out_free(cli.doc);
	return close_stdout(&cli, code);
}
