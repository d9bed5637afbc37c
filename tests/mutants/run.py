#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeded mutants: each breaks our own code in one place, and the named tests must notice.

Usage: run.py SOURCE_DIR WORK_DIR [NAME...]

mutants.toml lists them: file, the text to replace (it must stand there exactly once), what replaces it, and the meson
tests of which at least one must fail. A mutant that does not build, or that every test survives, fails the run.
Only what the tests need is built. Each worker has a tree of its own, WORK_DIR/N/tree, and WORK_DIR/N/mutants.log keeps
what compiler and tests said there. Prints TAP.
"""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib


WORTH_A_WORKER = 20  # mutants that make up for building the tests once more


def run(command, log):
    with open(log, "ab") as out:
        out.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        out.flush()
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT).returncode


def copy_tree(source, work):
    """A copy of what git tracks or would track, so that the tree itself is never touched."""
    if work.exists():
        shutil.rmtree(work)
    names = subprocess.run(["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, names):
        path = pathlib.Path(name.decode())
        if (source / path).is_file():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / path, work / path)


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", what, build], check=True, capture_output=True).stdout)


class Suites:
    """The tests of a build directory, and what has to be built to run them."""

    def __init__(self, build, log, jobs):
        files = {target["id"]: target["filename"] for target in introspect(build, "--targets")}
        self.build, self.log, self.jobs = build, log, jobs
        self.needs = {}
        for test in introspect(build, "--tests"):
            made = [name for target in test["depends"] for name in files[target]] + test["cmd"][:1]
            self.needs[test["name"]] = {str(pathlib.Path(name).relative_to(build)) for name in made
                                        if pathlib.Path(name).is_relative_to(build)}

    def make(self, tests):
        needs = sorted(set().union(*(self.needs[t] for t in tests)))
        return run(["ninja", "-j", str(self.jobs), "-C", self.build, *needs], self.log) == 0

    def passes(self, tests):
        return run(["meson", "test", "-C", self.build, "--no-rebuild", "--print-errorlogs", "--num-processes",
                    str(self.jobs), *tests], self.log) == 0


def find_flaw(mutant, tree, suites):
    """Why the entry itself is wrong, or None."""
    count = (tree / mutant["file"]).read_text().count(mutant["old"])
    if count != 1:
        return f"the text to replace stands {count} times in {mutant['file']}"
    unknown = [t for t in mutant["tests"] if t not in suites.needs]
    return "no such test: " + ", ".join(unknown) if unknown or not mutant["tests"] else None


def survives(mutant, tree, suites):
    """Why the mutant counts as not caught, or None when it was caught."""
    path = tree / mutant["file"]
    original = path.read_text()
    path.write_text(original.replace(mutant["old"], mutant["new"]))
    try:
        if not suites.make(mutant["tests"]):
            return "the mutant does not build"
        return "no test noticed: " + ", ".join(mutant["tests"]) if suites.passes(mutant["tests"]) else None
    finally:
        path.write_text(original)


class Worker:
    """A copy of the tree, and the mutants that are tried in it, each with its number."""

    def __init__(self, source, work, jobs, mutants):
        self.tree, self.log, self.mutants = work / "tree", work / "mutants.log", mutants
        work.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        copy_tree(source, self.tree)
        build = self.tree / "build"
        if run(["meson", "setup", "-Dbuildtype=debug", build, self.tree], self.log) != 0:
            sys.exit(f"Bail out! meson setup failed: {self.log}")
        self.suites = Suites(build, self.log, jobs)
        self.flaws = {number: find_flaw(m, self.tree, self.suites) for number, m in mutants}

    def is_sound(self):
        """What fails without any mutant proves nothing."""
        tests = sorted({t for number, m in self.mutants for t in m["tests"] if not self.flaws[number]})
        return bool(tests) and self.suites.make(tests) and self.suites.passes(tests)

    def try_all(self, sound):
        """Prints a line for each mutant. Return: how many were not caught."""
        failed = 0
        for number, mutant in self.mutants:
            why = self.flaws[number] or (survives(mutant, self.tree, self.suites) if sound else "not run")
            failed += why is not None
            line = f"{'not ok' if why else 'ok'} {number} - {mutant['name']}" + (f" # {why}" if why else "")
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return failed


def main():
    began = time.monotonic()
    source, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    wanted = sys.argv[3:]
    mutants = tomllib.loads((source / "tests/mutants/mutants.toml").read_text())["mutant"]
    unknown = set(wanted) - {m["name"] for m in mutants}
    if unknown:
        sys.exit("no such mutant: " + ", ".join(sorted(unknown)))
    mutants = list(enumerate((m for m in mutants if not wanted or m["name"] in wanted), 2))
    cpus = os.cpu_count() or 1
    count = max(1, min(cpus, len(mutants) // WORTH_A_WORKER))
    print(f"TAP version 13\n1..{len(mutants) + 1}", flush=True)
    workers = [Worker(source, work / str(n), max(1, cpus // count), mutants[n::count]) for n in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        sound = all(pool.map(Worker.is_sound, workers))
        print(f"{'ok' if sound else 'not ok'} 1 - the tests pass on the code as it is", flush=True)
        failed = sum(pool.map(lambda worker: worker.try_all(sound), workers)) + (not sound)
    print(f"# {len(mutants)} mutants in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
