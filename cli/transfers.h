/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What save, restore and copy share: options of the transfer, what is told of its outcome, the refusals. */
#ifndef VFIOMIGCTL_TRANSFERS_H
#define VFIOMIGCTL_TRANSFERS_H

#include "devices.h"

/* Names --then takes. */
extern const char *const then_choices[];

/* VFM_STATE_UNKNOWN for NULL. */
uint32_t then_state(const char *choice);

/* Progress, cancel and match lines, with the cli behind them. */
void transfer_prepare(struct cli *cli, struct vfm_transfer_opts *opts);

/* "transfer" and "devices" of the document, after success and after failure. */
void transfer_report(struct cli *cli, const struct vfm_transfer_result *result);
void transfer_report_devices(struct cli *cli, const char *key, const struct cli_devices *devices);

/* One line for people: "Saved 64.0 MiB in 0.42 s (152.4 MiB/s), ..." */
void transfer_say(struct cli *cli, const char *verb, const struct vfm_transfer_result *result);

/* The outcome in one step: told, and in doubt held until somebody ends it. Return: the exit code. */
int transfer_end(struct cli *cli, int r, const struct vfm_error *error, const struct vfm_transfer_result *result);

/* That a source opened here is blank by now: vfio-pci resets what it opens. */
void transfer_warn_reset(struct cli *cli, const struct cli_devices *devices);

/*
 * A destination's state ends with its last descriptor: somebody has to go on holding. Return: 0 or CLI_USAGE.
 * @keeps: the command goes on holding (--hold, --pass, --exec).
 */
int transfer_check_life(struct cli *cli, char **specs, size_t count, bool keeps);

/* Running needs memory behind the device's addresses. Return: 0 or CLI_USAGE. */
int transfer_check_run(struct cli *cli, const struct cli_devices *devices, uint32_t then, bool force);

/* The same before anything is opened, as far as names tell. */
int transfer_check_run_named(struct cli *cli, char **specs, size_t count);

/*
 * A blob, NULL for none, that is the stream's file too would end one by the other. @saves: the stream is written, the
 * blob read, not the other way round. Return: 0 or CLI_USAGE.
 */
int transfer_check_blob(struct cli *cli, const char *blob, const char *stream, bool saves);

/* Whole file into memory, at most @max bytes. Return: 0 or an exit code, told. free(*ret). */
int read_blob(struct cli *cli, const char *path, size_t max, void **ret, size_t *ret_length);

#endif
