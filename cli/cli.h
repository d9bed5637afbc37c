/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vfiomigctl share: the run's state, the command table, how a run ends. */
#ifndef VFIOMIGCTL_CLI_H
#define VFIOMIGCTL_CLI_H

#include <vfiomig.h>
#include <vfiomig/sim.h>
#include <vfiomig/transport.h>

#include "options.h"
#include "out.h"

#define CLI_NAME "vfiomigctl"
#define CLI_SCHEMA_VERSION 1
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Exit codes, frozen by design. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_UNSUPPORTED = 3,
	CLI_ATTENTION = 4,
	CLI_DOUBT = 5,
	CLI_DAMAGED = 6,
	CLI_UNAVAILABLE = 7,
	CLI_PEER = 8,
	CLI_SIGNAL = 128, /* and the signal's number */
};

struct exit_meaning {
	int code;
	const char *name;
	const char *meaning;
};

/* All of the above; ends with a NULL name. */
extern const struct exit_meaning cli_exits[];
const char *cli_exit_name(int code);

/* Options every command takes, before or after its name. */
struct globals {
	bool json;
	bool quiet;
	bool progress;
	bool no_progress;
	bool help;
	bool version;
	bool dump_commands;
	unsigned int verbose;
	const char *json_file;
	const char *sim;
	const char *sim_devices;
	const char *iommu;
	const char *quirks_file;
	uint64_t timeout_ns;
};

extern const struct option_def cli_global_options[];
extern const size_t cli_global_option_count;

struct command;

/* Sockets that socket activation handed to this process, from descriptor 3. */
struct activation {
	size_t count;
	char *names; /* with colons between them; NULL for none */
};

struct cli {
	struct globals globals;
	struct activation activation;
	const struct command *command;
	struct vfm_sim *sim;
	char *sim_value; /* what --sim or the environment said; NULL: the running kernel */
	struct vfm_context *ctx;
	struct vfm_cancel *cancel;
	struct peer *peer; /* the command of "exec:", until peer_end() */
	struct out_node *doc;
	bool data_on_stdout; /* what is for people goes to stderr then */
	bool changed;	     /* a device is not in the state it was found in, as it was asked for */
	int json_fd;	     /* of --json-file; 0: not opened yet, negative: not to be written to */
	bool told;	     /* what is for people has been printed already */
	bool progress_shown; /* an unfinished line is on the terminal */
};

/* One command; @run gets the struct its options describe and at least min, at most max operands. */
struct command {
	const char *name;
	const char *summary;
	const char *usage; /* what follows the name */
	const char *details;
	const struct option_def *options;
	size_t option_count;
	size_t config_size;
	size_t min_operands;
	size_t max_operands;
	enum completes operands;
	const char *const *second_choices; /* what the second operand can be; NULL: the same as the first */
	bool needs_machine;
	int (*run)(struct cli *cli, const void *config, char **operands, size_t count);
};

extern const struct command *const cli_commands[];
extern const size_t cli_command_count;
const struct command *cli_find_command(const char *name);

extern const struct command cmd_copy;
extern const struct command cmd_dirty;
extern const struct command cmd_help;
extern const struct command cmd_hold;
extern const struct command cmd_inspect;
extern const struct command cmd_iova;
extern const struct command cmd_list;
extern const struct command cmd_restore;
extern const struct command cmd_save;
extern const struct command cmd_show;
extern const struct command cmd_state;
extern const struct command cmd_verify;
extern const struct command cmd_version;

/* help.c, dump.c */
extern const char *const cli_device_forms[]; /* how operands are written that are more than a name; end with NULL */
extern const char *const cli_endpoint_forms[];
void cli_print_help(FILE *file);
void cli_print_command_help(FILE *file, const struct command *command);
int cli_dump_commands(FILE *file);

/* json-file.c: the document's file, which must not be one that the command works on. */
struct json_file_users {
	const struct command *command; /* NULL: not known */
	struct option_set set;
	char **operands;
	size_t count;
};

/* Return: 0 or an exit code, told. */
int json_file_open(struct cli *cli, const struct json_file_users *users);
int json_file_print(struct cli *cli); /* Return: 0, or -1, told */

/* machine.c: the running kernel or a simulated machine. Return: 0 or an exit code, told. */
int cli_open_machine(struct cli *cli);
void cli_close_machine(struct cli *cli);
bool cli_is_simulated(const struct cli *cli);
const char *cli_machine_name(const struct cli *cli); /* by option or environment; NULL: the running kernel */

/* report.c: how things are told. All go to stderr at once and into the JSON document. */

/* What a failure may have left behind decides the exit code. */
enum cli_stage {
	CLI_STAGE_OPEN, /* nothing has been done to a device yet */
	CLI_STAGE_ACT,
};

/* Return: the exit code. @result may be NULL. */
int cli_fail(struct cli *cli, enum cli_stage stage, const struct vfm_error *error,
	     const struct vfm_transfer_result *result);
/* The mapping alone: pure. @signal: the one that cancelled, 0 for none. */
int cli_exit_code(enum cli_stage stage, const struct vfm_error *error, const struct vfm_transfer_result *result,
		  int signal);

/* A mistake of the caller: message, "try --help". Return: CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(struct cli *cli, const char *fmt, ...);
/* Any other failure that no struct vfm_error describes. Return: @code. */
__attribute__((format(printf, 3, 4))) int cli_fail_text(struct cli *cli, int code, const char *fmt, ...);
/* The same of a device or at a step, each NULL where there is none. Return: @code. */
__attribute__((format(printf, 5, 6))) int cli_fail_at(struct cli *cli, int code, const char *device, const char *step,
						      const char *fmt, ...);
/* One that @error describes, where its exit code has been decided already. Return: @code. */
int cli_fail_as(struct cli *cli, int code, const struct vfm_error *error);
/* The failure of a call, @number its errno: only this one gives the document an errno. Return: @code. */
__attribute__((format(printf, 6, 7))) int cli_fail_errno(struct cli *cli, int code, int number, const char *device,
							 const char *step, const char *fmt, ...);
int cli_fail_memory(struct cli *cli);
/* A state as the document has it: a name, or null for one that is not known. */
void cli_add_state(struct out_node *node, const char *key, const char *label, uint32_t state);
__attribute__((format(printf, 2, 3))) void cli_warn(struct cli *cli, const char *fmt, ...);
/* What happens while it happens; silenced by --quiet. */
__attribute__((format(printf, 2, 3))) void cli_note(struct cli *cli, const char *fmt, ...);

/*
 * The array @key of the document for one more entry, NULL where no document is wanted: only the newest are kept, those
 * that had to go are counted in the number @left_out.
 */
struct out_node *cli_list_for(struct cli *cli, const char *key, const char *left_out);

/* main.c: whether what is told becomes a document. */
bool cli_wants_json(const struct cli *cli);

/* main.c: print what there is for people now, for commands that go on; the JSON document is printed at the end. */
void cli_tell_now(struct cli *cli);

/* signals.c */
int signals_install(struct vfm_cancel *cancel);
void signals_forget(void); /* the cancel token is about to go */
int signals_first(void);   /* the first that came, 0 for none */
/* One that came and was not taken yet, 0 for none. @ret_by_terminal: all in its foreground got it. */
int signals_take(bool *ret_by_terminal);
unsigned int signals_count(void);
int signals_wake_fd(void); /* readable after a signal or the end of a child; -1 before installation */
void signals_drain(void);  /* makes it unreadable again */
void signals_rearm(void);  /* readable once more, for those who wait after one who drained it */

/* progress.c */
int progress_show(void *user_cli, const struct vfm_progress *progress);
void progress_end(struct cli *cli);

/* names.c: "Red Hat, Inc. QEMU PCI ..." or "" */
void names_of(const struct vfm_identity *identity, char *buf, size_t room);
void names_forget(void);

#endif
