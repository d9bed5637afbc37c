#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A process that its parent cannot wait for: one of another session traces it, and takes no notice of its end.

Usage: unkillable.py FILE   (gets the number of the tracer, whose end lets go of this one)
"""
import ctypes
import os
import signal
import sys
import time

PR_SET_PTRACER = 0x59616D61
PTRACE_SEIZE = 0x4206
LIFE_S = 60

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
traced = os.getpid()
heard, told = os.pipe()
tracer = os.fork()
if tracer == 0:
    os.setsid()
    failed = libc.ptrace(PTRACE_SEIZE, traced, None, None)
    os.write(told, b"0" if failed else b"1")
    if not failed:
        time.sleep(LIFE_S)
    os._exit(0)
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write("%d\n" % tracer)
if os.read(heard, 1) != b"1":
    sys.exit("cannot be traced")
while True:
    signal.pause()
