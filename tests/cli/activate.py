#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Starts a command the way a service manager does that listens for it.

Usage: activate.py [--accept] NAME=PATH... -- COMMAND...: unix sockets listen on each PATH and are descriptors 3 and
up, called NAME. With --accept it is the first connection to each, not the socket that listens.
"""
import os
import socket
import sys


def main():
    arguments, command = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
    accept = arguments[0] == "--accept"
    pairs = [pair.split("=", 1) for pair in arguments[accept:]]
    sockets = []
    for _, path in pairs:
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(path)
        sockets[-1].listen(1)
    print("ready", flush=True)
    if accept:
        sockets = [listening.accept()[0] for listening in sockets]
    # away from where they go, so that none lands on another
    for i, sock in enumerate(sockets):
        os.dup2(sock.fileno(), 100 + i, inheritable=False)
    for i in range(len(pairs)):
        os.dup2(100 + i, 3 + i, inheritable=True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(pairs)),
                      LISTEN_FDNAMES=":".join(name for name, _ in pairs))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
