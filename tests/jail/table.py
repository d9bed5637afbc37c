#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The list of system calls: as C for vfm-jail's filter, and compared with what libvfiomig(7) says.

Usage: table.py header LIST
       table.py check LIST PAGE.scd UAPI_HEADER...
"""
import re
import sys
from pathlib import Path

NOT_OF_THE_LIBRARY = {"libc", "simulator", "program"}
BASES = {"VFIO_IOCTL": 0x3b64, "IOMMU_IOCTL": 0x3b80}


def load(path):
    """{phase: {"calls": [...], "ioctls": [...]}} in the order of the file."""
    phases = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 3 or words[1] not in ("calls", "ioctls"):
            sys.exit("%s:%d: not 'PHASE calls|ioctls NAME...'" % (path, number))
        phases.setdefault(words[0], {"calls": [], "ioctls": []})[words[1]] += words[2:]
    return phases


def header(phases):
    """X macros: PHASE(name), CALL(phase, name), IOCTL(phase, name)."""
    lines = ["/* made by table.py */"]
    lines += ["PHASE(%s)" % name for name in phases]
    for name, what in phases.items():
        lines += ["CALL(%s, %s)" % (name, call) for call in what["calls"]]
        lines += ["IOCTL(%s, %s)" % (name, request) for request in what["ioctls"]]
    return "\n".join(lines)


def section(page, title):
    body = re.split(r"^# ", page, flags=re.M)
    return next((part for part in body if part.startswith(title + "\n")), "")


def shown_phases(body):
    """{phase: words} of lines "phase   word...", continued by lines that begin with blanks."""
    found, phase = {}, None
    for line in re.split(r"^```$", body, flags=re.M)[1].splitlines():
        words = line.split()
        if words and not line.startswith(" "):
            phase = words.pop(0)
        if words:
            found.setdefault(phase, []).extend(words)
    return found


def difference(title, listed, shown):
    wrong = ["not in the manual: %s" % (name,) for name in sorted(listed - shown)]
    wrong += ["only in the manual: %s" % (name,) for name in sorted(shown - listed)]
    return title, wrong


def numbers(headers):
    """Requests and their numbers, from "#define NAME VFIO_IOCTL(7u)"."""
    found = {}
    for name in headers:
        text = Path(name).read_text(encoding="utf-8")
        for request, base, number in re.findall(r"^#define (\w+) (VFIO_IOCTL|IOMMU_IOCTL)\((\d+)u\)", text, re.M):
            found[request] = BASES[base] + int(number)
    return found


def check(phases, page, headers):
    body = section(page, "SYSTEM CALLS")
    shown = shown_phases(body)
    yield difference("phases", {name for name in phases if name not in NOT_OF_THE_LIBRARY - {"libc"}}, set(shown))
    for name, what in phases.items():
        if name in shown:
            yield difference("calls of %s" % name, set(what["calls"]) | set(what["ioctls"]), set(shown[name]))
    known = numbers(headers)
    used = {request for what in phases.values() for request in what["ioctls"]}
    listed = {(name, "%#x" % known[name]) for name in used}
    yield difference("numbers of ioctls", listed, set(re.findall(r"(\w+) +(0x3b[0-9a-f]{2})\b", body)))
    yield "a name stands once in each list", ["%s %s twice: %s" % (name, kind, word) for name, what in phases.items()
                                              for kind, words in what.items() for word in set(words)
                                              if words.count(word) > 1]


def main():
    phases = load(sys.argv[2])
    if sys.argv[1] == "header":
        print(header(phases))
        return 0
    checks = list(check(phases, Path(sys.argv[3]).read_text(encoding="utf-8"), sys.argv[4:]))
    for number, (title, complaints) in enumerate(checks, 1):
        print("%s %d - %s" % ("not ok" if complaints else "ok", number, title))
        for complaint in complaints:
            print("#   " + complaint)
    print("1..%d" % len(checks))
    return 1 if any(complaints for _, complaints in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
