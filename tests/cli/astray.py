#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command whose descriptor 9 is a pipe that is full and that nobody reads: astray.py COMMAND..."""
import os
import sys

reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while os.write(writer, b"x" * 4096):
        pass
except BlockingIOError:
    pass
os.set_blocking(writer, True)
os.set_inheritable(reader, True)
os.dup2(writer, 9)
os.execvp(sys.argv[1], sys.argv[1:])
