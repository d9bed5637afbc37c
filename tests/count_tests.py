#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count tests, one line "SUITE PASSED FAILED" each on stdout, the names of those that failed on stderr.

Usage: count_tests.py --meson STAGE TESTLOG_JSON    suites are STAGE/SUITE
       count_tests.py --tap SUITE STATUS TAP_FILE   STATUS: exit status of the program that wrote it
       count_tests.py --lab STAGE STATUS FILE       what tests/kernel/run.sh printed; suites are STAGE/CASE
In CI a test that was skipped has failed: nobody would see that it never runs.
"""
import json
import os
import re
import sys

STRICT = os.environ.get("CI") == "true"


class Suite:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def fail(self, text):
        self.failed += 1
        print("failed: " + text, file=sys.stderr)

    def add_tap(self, name, text, good):
        """Lines of TAP. A program that ended badly without saying which test failed is one more failure."""
        failed_before, seen, planned = self.failed, 0, None
        for line in text.splitlines():
            plan = re.match(r"1\.\.(\d+)", line)
            if plan:
                planned = int(plan.group(1))
            if re.match(r"(not )?ok\b", line):
                seen += 1
                self.add_line(name, line)
        if planned == 0 and seen == 0 and good and not STRICT:
            return
        if planned != seen and seen + (planned or 0) > 0:
            self.fail("%s: %s tests planned, %d ran" % (name, planned, seen))
        elif (not good or seen == 0) and self.failed == failed_before:
            self.fail("%s: ended badly, %d tests ran" % (name, seen))

    def add_line(self, name, line):
        skipped = re.search(r"#\s*skip", line, flags=re.I)
        if line.startswith("not ok") or (skipped and STRICT):
            self.fail("%s: %s" % (name, line))
        elif not skipped:
            self.passed += 1


def count_meson(stage, path):
    suites = {}
    with open(path, encoding="utf-8") as log:
        for record in map(json.loads, log):
            names, _, test = record["name"].rpartition(" / ")
            suite = suites.setdefault("%s/%s" % (stage, names.partition(":")[2].split("+")[0] or "other"), Suite())
            good = record["result"] in ("OK", "EXPECTEDFAIL")
            text = record.get("stdout", "")
            if re.search(r"^(not )?ok\b|^1\.\.\d", text, flags=re.M):
                suite.add_tap(test, text, good)
            elif good:
                suite.passed += 1
            elif record["result"] != "SKIP" or STRICT:
                suite.fail("%s: %s" % (test, record["result"]))
    return suites


def count_lab(stage, status, path):
    suites = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            case = re.match(r"(PASS|FAIL|SKIP) +(\S+)(?: +(\d+) ok +(\d+) not ok)?", line)
            if not case:
                continue
            suite = suites.setdefault("%s/%s" % (stage, case.group(2)), Suite())
            suite.passed, suite.failed = int(case.group(3) or 0), int(case.group(4) or 0)
            if case.group(1) == "FAIL" and suite.failed == 0 or case.group(1) == "SKIP" and STRICT:
                suite.fail(line.strip())
    if not suites or (status != "0" and not any(s.failed for s in suites.values())):
        suites.setdefault(stage + "/cases", Suite()).fail("the lab did not run")
    return suites


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "--meson":
        suites = count_meson(arguments[1], arguments[2])
    elif len(arguments) == 4 and arguments[0] == "--tap":
        suite = Suite()
        with open(arguments[3], encoding="utf-8", errors="replace") as tap:
            suite.add_tap(arguments[1], tap.read(), arguments[2] == "0")
        suites = {arguments[1]: suite}
    elif len(arguments) == 4 and arguments[0] == "--lab":
        suites = count_lab(*arguments[1:])
    else:
        sys.exit(__doc__)
    for name, suite in sorted(suites.items()):
        print(name, suite.passed, suite.failed)


if __name__ == "__main__":
    main(sys.argv[1:])
