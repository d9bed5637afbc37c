#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command with all signals blocked, as some launchers leave them: masked.py COMMAND..."""
import os
import signal
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])
