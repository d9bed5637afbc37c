#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a case of command lines and compares output, errors and exit codes. One TAP line a command.

Usage: run.py CASE DIRECTORY...   (directories that go to the front of PATH)

A case is text: "$ " starts a command ("> " continues it), what follows is what it has to print. Lines with "! " in
front are expected on stderr, "[N]" is the exit code where it is not 0. A line "..." stands for any number of lines;
"*" inside a line that ends in " (glob)" for any characters. Lines with "# " in front are for readers. All commands of
a case run in one shell, in a fresh directory, after prelude.sh.
"""
import fnmatch
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT_S = 120
# nohup and shells that put us into the background had some of them ignored, which commands would inherit
HEARD = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Step:
    """A command with what it has to do."""

    def __init__(self, command):
        self.command = command
        self.stdout = []
        self.stderr = []
        self.code = 0

    def expect(self, line):
        if line.startswith("! "):
            self.stderr.append(line[2:])
        elif line.startswith("[") and line.endswith("]") and line[1:-1].isdigit():
            self.code = int(line[1:-1])
        else:
            self.stdout.append(line)


def parse(case):
    steps = []
    for line in case.read_text(encoding="utf-8").splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif line.startswith("> "):
            steps[-1].command += "\n" + line[2:]
        elif line and not line.startswith("# "):
            steps[-1].expect(line)
    return steps


def script(steps, prelude, results):
    lines = ["set -u", ". %s" % prelude]
    for number, step in enumerate(steps):
        lines += ["{ %s" % step.command, "} >%s/%d.out 2>%s/%d.err </dev/null" % (results, number, results, number),
                  "echo $? >%s/%d.code" % (results, number)]
    return "\n".join(lines + ["finish"]) + "\n"


def is_like(expected, line):
    if expected.endswith(" (glob)"):
        pattern = expected[:-len(" (glob)")].replace("[", "[[]")
        return fnmatch.fnmatchcase(line, pattern)
    return expected == line


def matches(expected, lines):
    if not expected:
        return not lines
    if expected[0] == "...":
        return any(matches(expected[1:], lines[i:]) for i in range(len(lines) + 1))
    return bool(lines) and is_like(expected[0], lines[0]) and matches(expected[1:], lines[1:])


def read(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def check(step, results, number):
    out, err = read(results / ("%d.out" % number)), read(results / ("%d.err" % number))
    code = read(results / ("%d.code" % number)).strip()
    complaints = []
    if code != str(step.code):
        complaints.append("exit code %s, expected %d" % (code or "never came", step.code))
    for name, expected, text in (("stdout", step.stdout, out), ("stderr", step.stderr, err)):
        if not matches(expected, text.splitlines()):
            complaints += ["%s expected:" % name] + ["  " + line for line in expected]
            complaints += ["%s was:" % name] + ["  " + line for line in text.splitlines()]
    return complaints


def run_shell(text, directory, path):
    environment = {"PATH": os.pathsep.join(path + [os.environ["PATH"]]), "HOME": directory, "LC_ALL": "C.UTF-8"}
    for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH"):
        if name in os.environ:
            environment[name] = os.environ[name]
    with subprocess.Popen(["bash", "-c", text], cwd=directory, env=environment, start_new_session=True,
                          stdin=subprocess.DEVNULL) as shell:
        try:
            shell.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print("# not finished after %d s" % TIMEOUT_S)
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def main():
    case = Path(sys.argv[1]).resolve()
    steps = parse(case)
    failed = 0
    for number in HEARD:
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="vfm-cli-") as top:
        directory, results = Path(top) / "work", Path(top) / "results"
        directory.mkdir()
        results.mkdir()
        run_shell(script(steps, case.parent.parent / "prelude.sh", results), str(directory),
                  [str(Path(d).resolve()) for d in sys.argv[2:]])
        for number, step in enumerate(steps):
            complaints = check(step, results, number)
            failed += bool(complaints)
            print("%s %d - %s" % ("not ok" if complaints else "ok", number + 1, step.command.splitlines()[0]
                                  .replace("#", "\\#")))
            for line in complaints:
                print("# " + line)
    print("1..%d" % len(steps))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
