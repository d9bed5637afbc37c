#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules of STYLE.md that no compiler knows: sizes, layers, the seam, licences, wording. One TAP line a rule."""
import re
import subprocess
import sys
from pathlib import Path

MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 60
MAX_COLUMNS = 120

ROOT = Path(__file__).resolve().parent.parent

# A file of the library may include (of ours) what its layer or one below it offers. First match wins.
LAYERS = [
    ("lib/uapi/", set()),
    (r"lib/sys\.[ch]", {"sys.h"}),
    (r"lib/(wire|numbers)\.h", set()),
    (r"lib/vfio\.[ch]", {"sys.h", "vfio.h", "uapi/vfio.h"}),
    (r"lib/iommufd\.[ch]", {"sys.h", "numbers.h", "iommufd.h", "uapi/iommufd.h"}),
    (r"lib/container\.[ch]", {"sys.h", "container.h", "uapi/vfio.h"}),
    (r"lib/(fsm|match|inspect|lend-wire|stream-[a-z]+)\.[ch]",
     {"internal.h", "wire.h", "stream-format.h", "stream-order.h", "stream-records.h", "lend-wire.h", "fsm.h",
      "config-record.h"}),
]
UPPER = {"session.h", "transfer.h", "pipeline.h", "transfer-internal.h", "session-internal.h"}
DEVICE_LAYER = r"lib/(device|device-[a-z]+|discover|config|describe|lend|borrow|iommu|iommu-[a-z]+|sysfs)\.[ch]"

PURE = (r"lib/(fsm|match|wire|lend-wire|stream-[a-z]+|areas|spans|iova|iova-ranges|bitmap|bitmap-[a-z]+|dma-ranges)"
        r"\.[ch]")
BEHIND_THE_SEAM = r"lib/(sys\.[ch]|sim/.*)"

SYSTEM_CALLS = """
    open openat close read write pread pwrite readv writev preadv pwritev fsync fdatasync fstat fstatfs lstat stat
    rename link unlink readlink opendir fopen fdopen dup dup2 dup3 fcntl isatty eventfd poll ppoll select
    ioctl mmap munmap socket bind listen accept accept4 connect shutdown send sendto sendmsg recv recvfrom
    recvmsg getsockopt setsockopt getsockname fchmod clock_gettime gettimeofday time nanosleep usleep sleep
    getrandom uname geteuid getrlimit getenv secure_getenv
""".split()
NEVER_IN_A_LIBRARY = """
    exit _exit abort assert fork vfork execve execvp system popen printf puts signal sigaction
""".split()


def tracked():
    """Files of the project: what git knows or would add; in an unpacked tarball, everything but build folders."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(git, capture_output=True, check=False)
    if run.returncode == 0:
        names = run.stdout.decode().split("\0")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    return sorted(n for n in set(names) if n and not n.startswith("build") and (ROOT / n).is_file())


def text(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def is_c(name):
    return name.endswith((".c", ".h"))


def is_script(name):
    return name.endswith((".sh", ".py")) or text(name)[:2] == "#!"


def is_source(name):
    return is_c(name) or name.endswith((".scd", ".map", ".sh", ".py")) or Path(name).name in (
        "meson.build", "meson_options.txt", "Kbuild", "Makefile") or is_script(name)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code(name):
    """The file's C code: comments and the insides of strings blanked, line numbers kept."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text(name), flags=re.S)


def includes(name):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]+([<"][^>"]+)[>"]', text(name), flags=re.M)


def calls(name, functions):
    pattern = r"(?<![\w>.*])(%s)\s*\(" % "|".join(functions)
    for number, line in enumerate(code(name).splitlines(), 1):
        # A prototype or definition of one's own begins with its type.
        for match in re.finditer(pattern, line):
            if not re.match(r"\s*(static|int|ssize_t|uint64_t|void|uid_t)\b", line):
                yield "%s:%d: %s()" % (name, number, match.group(1))


def rule_file_size(names):
    for name in filter(is_source, names):
        lines = text(name).count("\n")
        if lines > MAX_FILE_LINES:
            yield "%s: %d lines" % (name, lines)


def rule_function_size(names):
    for name in filter(is_c, names):
        start = None
        for number, line in enumerate(text(name).splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > MAX_FUNCTION_LINES:
                    yield "%s:%d: function body of %d lines" % (name, start, number - start - 1)
                start = None


def rule_columns(names):
    for name in filter(is_source, names):
        if name.endswith(".scd"):  # a cell of a table is one line
            continue
        for number, line in enumerate(text(name).splitlines(), 1):
            if len(line.expandtabs(8)) > MAX_COLUMNS:
                yield "%s:%d: %d columns" % (name, number, len(line.expandtabs(8)))


def rule_whitespace(names):
    for name in names:
        data = text(name)
        if name.startswith("LICENSES/") or "\0" in data:
            continue
        if data and not data.endswith("\n"):
            yield "%s: no newline at the end" % name
        for number, line in enumerate(data.splitlines(), 1):
            if line != line.rstrip():
                yield "%s:%d: white space at the end" % (name, number)


def licence_of(name):
    if name.startswith("tests/kmod/"):
        return "GPL-2.0-only"
    return "GPL-2.0-or-later" if name.startswith("cli/") else "MIT"


def rule_spdx(names):
    for name in filter(is_source, names):
        head = "\n".join(text(name).splitlines()[:4])
        match = re.search(r"SPDX-License-Identifier: (.+?)( \*/)?$", head, flags=re.M)
        if not match:
            yield "%s: no SPDX line" % name
        elif licence_of(name) not in match.group(1) and not shared_with_kernel(match.group(1)):
            yield "%s: %s, expected %s" % (name, match.group(1), licence_of(name))


def shared_with_kernel(expression):
    return " WITH Linux-syscall-note" in expression


def rule_public_headers(names):
    allowed = {"<stdbool.h", "<stddef.h", "<stdint.h", "<stdarg.h"}
    for name in names:
        if name.startswith("include/") and name.endswith(".h"):
            for header in includes(name):
                if header not in allowed and not header.startswith("<vfiomig/"):
                    yield "%s includes %s" % (name, header[1:])


def allowed_by_layer(name, header):
    for pattern, allowed in LAYERS:
        if re.match(pattern, name):
            return header in allowed
    return not (re.match(DEVICE_LAYER, name) and header in UPPER)


def rule_layers(names):
    for name in names:
        if not is_c(name):
            continue
        ours = [h[1:] for h in includes(name) if h[0] == '"']
        if name.startswith("lib/"):
            yield from ("%s includes %s" % (name, h) for h in ours if not allowed_by_layer(name, h))
        if name.startswith(("cli/", "examples/")):
            yield from ("%s includes %s" % (name, h) for h in ours if "/" in h or (ROOT / "lib" / h).exists()
                        and not (ROOT / name).with_name(h).exists())


def rule_foreign_headers(names):
    foreign = re.compile(r"<(json-c/|json\.h|pci/|getopt\.h|linux/(?!vm_sockets\.h)|asm/)")
    for name in names:
        if name.startswith(("lib/", "include/")) and is_c(name):
            yield from ("%s includes %s" % (name, h[1:]) for h in includes(name) if foreign.match(h))


def rule_seam(names):
    for name in names:
        if name.startswith("lib/") and is_c(name) and not re.match(BEHIND_THE_SEAM, name):
            yield from calls(name, SYSTEM_CALLS)


def rule_pure(names):
    for name in names:
        if re.match(PURE, name):
            for number, line in enumerate(code(name).splitlines(), 1):
                if re.search(r"sys->|->ops|\bvfmi_sys_", line):
                    yield "%s:%d: reaches for the seam" % (name, number)


def rule_library_manners(names):
    for name in names:
        if name.startswith("lib/") and name.endswith(".c"):
            yield from calls(name, NEVER_IN_A_LIBRARY)


def rule_wording(names):
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    for name in names:
        if name.startswith("LICENSES/"):
            continue
        for number, line in enumerate(text(name).splitlines(), 1):
            if words.search(line) and not re.search(r"mktemp|XXXXXX", line):
                yield "%s:%d: %s" % (name, number, line.strip())


RULES = [
    ("no file over %d lines" % MAX_FILE_LINES, rule_file_size),
    ("no function over %d lines" % MAX_FUNCTION_LINES, rule_function_size),
    ("no line over %d columns" % MAX_COLUMNS, rule_columns),
    ("clean white space", rule_whitespace),
    ("every source names its licence", rule_spdx),
    ("public headers include four standard ones only", rule_public_headers),
    ("layers include only what is below them", rule_layers),
    ("no json-c, libpci, getopt or kernel header in a library", rule_foreign_headers),
    ("every system call goes through the seam", rule_seam),
    ("pure files do not know the seam", rule_pure),
    ("no exit, abort, assert, fork or printing in a library", rule_library_manners),
    ("no postponed work", rule_wording),
]


def main():
    names = tracked()
    failed = 0
    for number, (title, rule) in enumerate(RULES, 1):
        found = list(rule(names))
        failed += bool(found)
        print("%s %d - %s" % ("not ok" if found else "ok", number, title))
        for line in found:
            print("#   " + line)
    print("1..%d" % len(RULES))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
