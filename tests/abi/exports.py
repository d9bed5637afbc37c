#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A library exports exactly what its version map lists, and exactly that has a prototype in its headers. TAP.

Usage: exports.py LIBRARY MAP HEADER... [--private NODE HEADER...]
NODE is what the project's own libraries share, those of one version: names vfmi_*, declared in private headers. All
others are public.
"""
import re
import subprocess
import sys
from pathlib import Path


def strip_comments(source):
    return re.sub(r"/\*.*?\*/", " ", source, flags=re.S)


def map_nodes(path):
    """{node: set of global names} of a version script."""
    nodes = {}
    for name, body in re.findall(r"(\w+)\s*\{(.*?)\}", strip_comments(Path(path).read_text()), flags=re.S):
        exported = re.search(r"global:(.*?)(local:|$)", body, flags=re.S)
        nodes[name] = {n.strip() for n in exported.group(1).split(";") if n.strip()} if exported else set()
    return nodes


def library_nodes(path):
    """{node: set of names} as the dynamic linker sees them."""
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", path], capture_output=True,
                         text=True, check=True).stdout
    nodes = {}
    for line in out.splitlines():
        kind, symbol = line.split()[-2:]
        if kind == "A":
            continue
        name, _, node = symbol.partition("@")
        nodes.setdefault(node.lstrip("@") or "(none)", set()).add(name)
    return nodes


def prototypes(headers):
    found = set()
    for header in headers:
        source = re.sub(r"^[ \t]*#(.*\\\n)*.*$", "", strip_comments(Path(header).read_text()), flags=re.M)
        for declaration in re.split(r"[;{}]", source):
            if "VFM_API" in declaration:
                name = re.search(r"(vfmi?_\w+)\s*(\(|$|\[)", re.sub(r"VFM_\w+(\([^)]*\))?", " ", declaration).strip())
                found.add(name.group(1) if name else declaration.strip())
    return found


class Tap:
    def __init__(self):
        self.number = 0
        self.failures = 0

    def same(self, title, what, left, right, left_name, right_name):
        self.number += 1
        lines = ["%s %s in %s, not in %s" % (what, n, left_name, right_name) for n in sorted(left - right)]
        lines += ["%s %s in %s, not in %s" % (what, n, right_name, left_name) for n in sorted(right - left)]
        self.report(title, lines)

    def report(self, title, problems):
        print("%s %d - %s" % ("not ok" if problems else "ok", self.number, title))
        for line in problems:
            print("#   " + line)
        self.failures += bool(problems)


def main(arguments):
    private_node, private = None, []
    if "--private" in arguments:
        split = arguments.index("--private")
        private_node, private, arguments = arguments[split + 1], arguments[split + 2:], arguments[:split]
    library, version_map, headers = arguments[0], arguments[1], arguments[2:]
    tap = Tap()
    in_map, in_library = map_nodes(version_map), library_nodes(library)
    tap.same("version nodes", "node", set(in_map), set(in_library), "the map", "the library")
    for node in sorted(set(in_map) | set(in_library)):
        tap.same("exports of " + node, "symbol", in_map.get(node, set()), in_library.get(node, set()), "the map",
                 "the library")
    public = set().union(*(n for k, n in in_map.items() if k != private_node))
    tap.same("public prototypes", "symbol", public, prototypes(headers), "the map", "the headers")
    hidden = in_map.get(private_node, set())
    tap.same("private prototypes", "symbol", hidden, prototypes(private), "the map", "private headers")
    tap.number += 1
    tap.report("names", ["public %s" % n for n in public if not n.startswith("vfm_")] +
               ["private %s" % n for n in hidden if not n.startswith("vfmi_")])
    print("1..%d" % tap.number)
    return 1 if tap.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
