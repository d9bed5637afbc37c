#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command at a terminal of its own and types ^C once it has said "up": terminal.py COMMAND...

The command itself sees the signal half a second after all others at the terminal, so that two do not become one.
"""
import os
import pty
import signal
import sys
import time

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while b"up" not in seen:
    seen += os.read(terminal, 4096)
os.kill(pid, signal.SIGSTOP)
os.write(terminal, b"\x03")
time.sleep(0.5)
os.kill(pid, signal.SIGCONT)
try:
    while piece := os.read(terminal, 4096):
        seen += piece
except OSError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
