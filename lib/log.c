/* SPDX-License-Identifier: MIT */
/* Log: level filter and emit. Prints nothing itself; a context is silent until its owner gives it a sink. */
#include <stdio.h>

#include "internal.h"

#define LINE_MAX_BYTES 1024

void vfm_context_set_log(struct vfm_context *ctx, int level, vfm_log_fn *fn, void *user)
{
	if (!ctx)
		return;
	ctx->log = fn;
	ctx->log_user = user;
	ctx->log_level = fn ? level : VFM_LOG_NONE;
}

/* Names come from users and peers: no newline and no terminal sequence of theirs may reach a log or a terminal. */
void vfmi_make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void vfmi_log(struct vfm_context *ctx, int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list args;

	if (!ctx || !ctx->log || level <= VFM_LOG_NONE || level > ctx->log_level)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	vfmi_make_printable(line);
	ctx->log(ctx->log_user, level, line);
	errno = saved;
}
