/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Progress of a transfer on stderr: one line that changes on a terminal, a line a second where it was asked for. */
#include <unistd.h>

#include "cli.h"

#define NS_PER_S 1000000000ull

static const char *phase_name(uint32_t phase)
{
	static const char *const names[] = { "preparing", "pre-copy", "stop-copy", "loading", "finishing", "done" };

	return phase < ARRAY_SIZE(names) ? names[phase] : "working";
}

static void format(const struct vfm_progress *progress, char *buf, size_t room)
{
	char bytes[OUT_HUMAN_ROOM], estimate[OUT_HUMAN_ROOM], rate[OUT_HUMAN_ROOM], eta[OUT_HUMAN_ROOM];
	int length = snprintf(buf, room, "%s %u/%u: %s", phase_name(progress->phase), progress->device + 1,
			      progress->devices, out_human(progress->bytes, OUT_BYTES, bytes));

	if (progress->estimate_bytes != VFM_SIZE_UNKNOWN && length > 0 && (size_t)length < room)
		length += snprintf(buf + length, room - (size_t)length, " of %s",
				   out_human(progress->estimate_bytes, OUT_BYTES, estimate));
	if (progress->rate && length > 0 && (size_t)length < room)
		length += snprintf(buf + length, room - (size_t)length, ", %s",
				   out_human(progress->rate, OUT_RATE, rate));
	if (progress->eta_ns && progress->eta_ns != VFM_SIZE_UNKNOWN && length > 0 && (size_t)length < room)
		snprintf(buf + length, room - (size_t)length, ", %s left", out_human(progress->eta_ns, OUT_NS, eta));
}

static void show_line(struct cli *cli, const struct vfm_progress *progress)
{
	const char *mark = cli_is_simulated(cli) ? "SIMULATED: " : "";
	char text[160];

	format(progress, text, sizeof(text));
	if (isatty(STDERR_FILENO) == 1) {
		fprintf(stderr, "\r%s%s\033[K", mark, text);
		cli->progress_shown = true;
	} else {
		fprintf(stderr, "%s: %s%s\n", CLI_NAME, mark, text);
	}
	fflush(stderr);
}

static bool is_wanted(const struct cli *cli)
{
	if (cli->globals.no_progress || cli->globals.quiet)
		return cli->globals.progress;
	return cli->globals.progress || isatty(STDERR_FILENO) == 1;
}

/* Where lines stay, one a second and one for each phase are enough. */
static bool is_due(const struct vfm_progress *progress)
{
	static uint64_t last_ns;
	static uint32_t last_phase = UINT32_MAX;

	if (isatty(STDERR_FILENO) == 1)
		return true;
	if (progress->phase == last_phase && progress->elapsed_ns - last_ns < NS_PER_S)
		return false;
	last_phase = progress->phase;
	last_ns = progress->elapsed_ns;
	return true;
}

int progress_show(void *user_cli, const struct vfm_progress *progress)
{
	struct cli *cli = user_cli;

	if (is_wanted(cli) && is_due(progress))
		show_line(cli, progress);
	return 0;
}

void progress_end(struct cli *cli)
{
	if (!cli->progress_shown)
		return;
	fputs("\r\033[K", stderr);
	cli->progress_shown = false;
}
