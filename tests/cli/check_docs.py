#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `vfiomigctl --dump-commands` says, the manual page and the completions must agree. One TAP line a check.

Usage: check_docs.py VFIOMIGCTL PAGE.scd BASH_COMPLETION ZSH_COMPLETION
"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path


def run(*args, **kwargs):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True, **kwargs).stdout


def sections(page):
    """Text of the page by heading: "OPTIONS", and "## save" of COMMANDS as "save"."""
    parts = re.split(r"^(#+ .+)$", page, flags=re.M)
    return {head.lstrip("# "): body for head, body in zip(parts[1::2], parts[2::2])}


def documented(body):
    """Options that stand at the head of a paragraph: "*--to*=_ENDPOINT_", "*-q*, *--quiet*"."""
    heads = [line for line in body.splitlines() if line.startswith("*-")]
    return {name for head in heads for name in re.findall(r"\*(--?[a-z][a-z0-9-]*)\*", head)}


def names(options):
    words = {"--" + option["name"] for option in options}
    return words | {"-" + option["letter"] for option in options if option["letter"]}


def compare(title, wanted, found):
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    return title, ["not there: %s" % m for m in missing] + ["not in the tool: %s" % e for e in extra]


def manual(dump, page):
    parts = sections(page)
    yield compare("manual: global options", names(dump["options"]), documented(parts["OPTIONS"]))
    commands = {head for head in parts if head == head.lower()}
    yield compare("manual: commands", {c["name"] for c in dump["commands"]}, commands)
    for command in dump["commands"]:
        body = parts.get(command["name"], "")
        yield compare("manual: options of %s" % command["name"], names(command["options"]), documented(body))
        operands = re.sub(r"\[?--.*|\[OPTION\.\.\.\].*", "", command["usage"]).split()
        shown = body.strip().splitlines()[0] if body.strip() else ""
        missing = {word.strip("[].") for word in operands} - set(re.findall(r"_([A-Z]+)_", shown))
        yield "manual: usage line of %s" % command["name"], sorted(missing)
    for part, key in (("DEVICE", "device_forms"), ("ENDPOINT", "endpoint_forms")):
        heads = [line for line in parts[part].splitlines() if line.startswith(("*", "_"))]
        yield compare("manual: forms of %s" % part, kinds(dump[key]),
                      {word for head in heads for word in re.findall(r"\*([a-z]+:)", head)})
    codes = {(str(e["code"]), e["meaning"]) for e in dump["exit_codes"]}
    status = parts["EXIT STATUS"]
    yield "manual: exit codes", ["%s %s" % e for e in sorted(codes)
                                 if "*%s*" % e[0] not in status or e[1].split(",")[0] not in
                                 status.replace("_N_", "N")]


def kinds(forms):
    """What operands begin with that are more than a name: "tcp:"."""
    return {form.partition(":")[0] + ":" for form in forms}


def bash_words(script, line):
    source = 'source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _vfiomigctl; printf "%s\\n" "${COMPREPLY[@]}"'
    return set(run("bash", "-c", source, "bash", script, line).split())


def bash(dump, script):
    everywhere = names(dump["options"])
    yield compare("bash: commands", {c["name"] for c in dump["commands"]}, bash_words(script, "vfiomigctl "))
    yield compare("bash: global options", everywhere, bash_words(script, "vfiomigctl -"))
    for line, key in (("vfiomigctl show ", "device_forms"), ("vfiomigctl save scm:x --to ", "endpoint_forms")):
        words = {word for word in bash_words(script, line) if re.fullmatch("[a-z]+:", word)}
        yield compare("bash: %s" % key.replace("_", " "), kinds(dump[key]), words)
    yield compare("bash: after a global option", {"save"}, bash_words(script, "vfiomigctl --sim=/tmp/x sa"))
    commands = {c["name"] for c in dump["commands"]}
    yield compare("bash: after an option with its value", commands, bash_words(script, "vfiomigctl --timeout 5 "))
    yield compare("bash: after a value that is called like a command", commands,
                  bash_words(script, "vfiomigctl --json-file list "))
    yield compare("bash: after an option that takes a value only with =", commands,
                  bash_words(script, "vfiomigctl --sim "))
    yield compare("bash: value of an option after operands", {"--match"},
                  bash_words(script, "vfiomigctl verify --json-file save x --ma"))
    for command in dump["commands"]:
        line = "vfiomigctl %s " % command["name"]
        if command["second_choices"]:
            second = set(command["second_choices"])
            yield compare("bash: second operand of %s" % command["name"], second,
                          bash_words(script, line + "--timeout 5 scm:x -q "))
            yield compare("bash: third operand of %s" % command["name"], set(),
                          bash_words(script, line + "scm:x %s " % min(second)))
        yield compare("bash: options of %s" % command["name"], names(command["options"]) | everywhere,
                      bash_words(script, line + "-"))
        for option in command["options"]:
            if option["choices"]:
                yield compare("bash: values of %s --%s" % (command["name"], option["name"]), set(option["choices"]),
                              bash_words(script, line + "--%s " % option["name"]))
                yield compare("bash: values of %s --%s=" % (command["name"], option["name"]),
                              set(option["choices"]), bash_words(script, line + "--%s=" % option["name"]))


def zsh(dump, script):
    text = Path(script).read_text(encoding="utf-8")
    for command in dump["commands"]:
        case = re.search(r"^\t%s\)\n(.*?);;" % command["name"], text, flags=re.M | re.S)
        found = set(re.findall(r"'\*?(--?[a-z][a-z0-9-]*)=?-?\[", case.group(1))) if case else set()
        yield compare("zsh: options of %s" % command["name"], names(command["options"]), found)
        second = re.search(r"'2:argument:\((.*)\)'", case.group(1)) if case else None
        yield compare("zsh: second operand of %s" % command["name"], set(command["second_choices"]),
                      set(second.group(1).split() if second else []))
    for function, key in (("_vfiomigctl_devices", "device_forms"), ("_vfiomigctl_endpoints", "endpoint_forms")):
        body = re.search(r"^%s\(\)\n{(.*?)^}" % function, text, flags=re.M | re.S).group(1)
        words = set(re.findall(r"\b[a-z]+:(?=[ )\n])", body))
        yield compare("zsh: %s" % key.replace("_", " "), kinds(dump[key]), words)
    whole = text.split("global=(")[1].split("\n\t)")[0]
    found = set(re.findall(r"'\*?(--?[a-z][a-z0-9-]*)=?-?\[", whole))
    yield compare("zsh: global options", names(dump["options"]), found)
    if shutil.which("zsh"):
        result = subprocess.run(["zsh", "-n", script], check=False, stderr=subprocess.PIPE, text=True)
        yield "zsh: syntax", result.stderr.splitlines()


def main():
    program, page, bash_script, zsh_script = sys.argv[1:]
    dump = json.loads(run(program, "--dump-commands"))
    checks = list(manual(dump, Path(page).read_text(encoding="utf-8")))
    checks += list(bash(dump, bash_script)) + list(zsh(dump, zsh_script))
    for number, (title, complaints) in enumerate(checks, 1):
        print("%s %d - %s" % ("not ok" if complaints else "ok", number, title))
        for complaint in complaints:
            print("#   " + complaint)
    print("1..%d" % len(checks))
    return 1 if any(complaints for _, complaints in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
