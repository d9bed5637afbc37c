#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands between a saving and a restoring vfiomigctl and hangs up when one of them says a certain word.

Usage: relay.py LISTEN CONNECT FRAME: unix socket paths; FRAME is the type of the frame that ends it all, of either
side: it is passed on if "+" stands in front of it, swallowed otherwise. With "~" in front it ends nothing, but is held
back until SIGUSR1, once the line "held" has been printed. Types and layout: vfiomig-stream(5).
"""
import signal
import socket
import struct
import sys
import threading

HEADER = 40


def read_exactly(source, length):
    data = b""
    while len(data) < length:
        more = source.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def relay(source, target, word, over, release):
    last = int(word.lstrip("+~"))
    try:
        target.sendall(read_exactly(source, HEADER))
        while True:
            header = read_exactly(source, HEADER)
            frame = header + read_exactly(source, struct.unpack_from("<I", header, 12)[0])
            kind = struct.unpack_from("<I", header)[0]
            if kind == last and word[0] == "~":
                print("held", flush=True)
                release.wait()
            if kind != last or word[0] in "+~":
                target.sendall(frame)
            if kind == last and word[0] != "~":
                break
    except (EOFError, OSError):
        pass
    over.set()


def main():
    listen, connect, word = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX)
    server.bind(listen)
    server.listen(1)
    print("ready", flush=True)
    near, _ = server.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(connect)
    over, release = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda number, frame: release.set())
    for source, target in ((near, far), (far, near)):
        threading.Thread(target=relay, args=(source, target, word, over, release), daemon=True).start()
    over.wait()
    for peer in (near, far):
        peer.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
