#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps the descriptors it was started with and lets every process of its user trace it, until it is ended.

Prints the devices that it inherited as pidfd:PID:FD..., a line each, and at last the line "traceable".
"""
import ctypes
import os
import signal

PR_SET_PTRACER = 0x59616D61

ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
for number in range(int(os.environ["VFIOMIG_DEVICES"])):
    print("pidfd:%d:%s" % (os.getpid(), os.environ["VFIOMIG_DEVICE_%d" % number].removeprefix("fd:")), flush=True)
print("traceable", flush=True)
signal.pause()
