#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Knocks at a holder's socket with what is no request: knock.py PATH TIMES."""
import socket
import sys

for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocker:
        knocker.connect(sys.argv[1])
        try:
            knocker.send(b"nonsense")
            while knocker.recv(4096):
                pass
        except OSError:
            pass
