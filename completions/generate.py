#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes shell completion from what `vfiomigctl --dump-commands` says. Usage: generate.py bash|zsh VFIOMIGCTL"""
import json
import subprocess
import sys

PROGRAM = "vfiomigctl"

BASH = r"""# Completion of vfiomigctl for bash; generated, do not edit.

_vfiomigctl_options()
{
	case "$1" in
@OPTIONS@
	esac
}

# What the value of "COMMAND --option", or of "COMMAND --option=", is completed with: words, or <kind>; nothing when it
# takes none there.
_vfiomigctl_value()
{
	case "$1" in
@VALUES@
	esac
}

# The same for the operand that follows as many as the second number says: "COMMAND 0".
_vfiomigctl_operand()
{
	case "$1" in
@OPERANDS@
	*) echo '<@DEFAULT@>' ;;
	esac
}

_vfiomigctl_devices()
{
	local link
	for link in /sys/class/vfio-dev/*/device; do
		[[ -e $link ]] && basename "$(readlink -f "$link")"
	done
	echo @DEVICES@
}

_vfiomigctl_complete()
{
	local cur=$1 kind=$2
	case "$kind" in
	'<nothing>') ;;
	'<file>') compgen -f -- "$cur" ;;
	'<device>') compgen -W "$(_vfiomigctl_devices)" -- "$cur" ;;
	'<endpoint>') compgen -W '@ENDPOINTS@ -' -- "$cur"; compgen -f -- "$cur" ;;
	'<command>') compgen -W '@COMMANDS@' -- "$cur" ;;
	*) compgen -W "$kind" -- "$cur" ;;
	esac
}

# The shell breaks words at = and :, which belong to ours; so the line is taken apart here.
_vfiomigctl()
{
	local line=${COMP_LINE:0:COMP_POINT} cur command='' word kind='' strip
	local -i i operands=0
	local -a words
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=('')
	cur=${words[-1]}
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		word=${words[i]}
		kind=''
		if [[ $word == -?* ]]; then
			kind=$(_vfiomigctl_value "$command $word")
			[[ $kind ]] && i+=1
		elif [[ $command ]]; then
			operands+=1
		else
			command=$word
		fi
	done
	# the last word is the value of an option if that made the loop step over it
	((i == ${#words[@]})) || kind=''
	strip=${cur%"${cur##*[=:]}"}
	if [[ $kind ]]; then
		mapfile -t COMPREPLY < <(_vfiomigctl_complete "$cur" "$kind")
	elif [[ $cur == --*=* ]]; then
		kind=$(_vfiomigctl_value "$command ${cur%%=*}=")
		mapfile -t COMPREPLY < <(_vfiomigctl_complete "${cur#*=}" "$kind")
		strip=${strip#"${cur%%=*}="}
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_vfiomigctl_options "$command")" -- "$cur")
	else
		kind=$(_vfiomigctl_operand "$command $operands")
		mapfile -t COMPREPLY < <(_vfiomigctl_complete "$cur" "$kind")
	fi
	COMPREPLY=("${COMPREPLY[@]#"$strip"}")
}

complete -o nosort -o default -F _vfiomigctl vfiomigctl
"""

ZSH = r"""#compdef vfiomigctl
# Completion of vfiomigctl for zsh; generated, do not edit.

_vfiomigctl_devices()
{
	local -a names
	names=(/sys/class/vfio-dev/*/device(N:A:t))
	compadd -a names
	compadd -S '' -- @DEVICES@
}

_vfiomigctl_endpoints()
{
	compadd -S '' -- @ENDPOINTS@
	compadd -- -
	_files
}

_vfiomigctl_commands()
{
	local -a commands
	commands=(
@COMMANDS@
	)
	_describe command commands
}

_vfiomigctl()
{
	local curcontext=$curcontext state line
	local -a global
	global=(
@GLOBAL@
	)
	_arguments -C $global '1:command:_vfiomigctl_commands' '*::argument:->argument'
	[[ $state == argument ]] || return
	case $words[1] in
@CASES@
	esac
}

_vfiomigctl "$@"
"""


def option_words(options):
    words = []
    for option in options:
        words.append("--" + option["name"])
        if option["letter"]:
            words.append("-" + option["letter"])
    return words


def kind_of(option):
    return " ".join(option["choices"]) or "<%s>" % option["completes"]


def bash_case(pattern, text):
    return "\t%s) echo '%s' ;;" % (pattern, text)


def bash_values(prefix, options):
    """Where the value is optional it is only one after "="."""
    lines = []
    for option in options:
        if option["value"]:
            forms = ["--%s=" % option["name"]] + ([] if option["value_optional"] else ["--%s" % option["name"]])
            lines.append(bash_case("|".join("%s' %s'" % (prefix, form) for form in forms), kind_of(option)))
    return lines


def with_forms(text, dump):
    """What operands begin with that are more than a name, once each: "unix:"."""
    for place, forms in (("@DEVICES@", dump["device_forms"]), ("@ENDPOINTS@", dump["endpoint_forms"])):
        text = text.replace(place, " ".join(dict.fromkeys(form.partition(":")[0] + ":" for form in forms)))
    return text


def bash(dump):
    everywhere = option_words(dump["options"])
    options = [bash_case(c["name"], " ".join(option_words(c["options"]) + everywhere)) for c in dump["commands"]]
    options.append(bash_case("*", " ".join(everywhere)))
    values = bash_values("*", dump["options"])
    operands = []
    for command in dump["commands"]:
        values += bash_values(command["name"], command["options"])
        first = "<%s>" % command["operands"]
        if command["second_choices"]:
            operands.append(bash_case("'%s 0'" % command["name"], first))
            operands.append(bash_case("'%s 1'" % command["name"], " ".join(command["second_choices"])))
            first = "<nothing>"
        operands.append(bash_case("'%s '*" % command["name"], first))
    text = BASH.replace("@OPTIONS@", "\n".join(options)).replace("@VALUES@", "\n".join(values))
    text = text.replace("@OPERANDS@", "\n".join(operands))
    return text.replace("@COMMANDS@", " ".join(c["name"] for c in dump["commands"])).replace("@DEFAULT@", "command")


def zsh_quote(text):
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_action(kind, choices):
    if choices:
        return "(%s)" % " ".join(choices)
    return {"file": "_files", "device": "_vfiomigctl_devices", "endpoint": "_vfiomigctl_endpoints",
            "command": "_vfiomigctl_commands"}.get(kind, " ")


def zsh_option(option):
    help_text = zsh_quote(option["help"])
    if not option["value"]:
        tails = [""]
    else:
        colon = "::" if option["value_optional"] else ":"
        tails = ["%s%s:%s" % (colon, zsh_quote(option["value"]), zsh_action(option["completes"], option["choices"]))]
    names = ["--%s%s" % (option["name"], "=-" if option["value_optional"] else "=" if option["value"] else "")]
    if option["letter"]:
        names.append("-" + option["letter"])
    repeat = "*" if option["value"] or option["letter"] else ""
    return ["'%s%s[%s]%s'" % (repeat, name, help_text, tail) for name in names for tail in tails]


def zsh_command(command):
    lines = [spec for option in command["options"] for spec in zsh_option(option)]
    first = zsh_action(command["operands"], [])
    operands = ["'*:argument:%s'" % first]
    if command["second_choices"]:
        operands = ["'1:argument:%s'" % first, "'2:argument:%s'" % zsh_action(None, command["second_choices"])]
    specs = " \\\n\t\t\t".join(["$global"] + lines + operands)
    return "\t%s)\n\t\t_arguments %s\n\t\t;;" % (command["name"], specs)


def zsh(dump):
    commands = "\n".join("\t\t'%s:%s'" % (c["name"], zsh_quote(c["summary"])) for c in dump["commands"])
    global_options = "\n".join("\t\t" + spec for option in dump["options"] for spec in zsh_option(option))
    cases = "\n".join(zsh_command(c) for c in dump["commands"])
    return ZSH.replace("@COMMANDS@", commands).replace("@GLOBAL@", global_options).replace("@CASES@", cases)


def main():
    shell, program = sys.argv[1:]
    dump = json.loads(subprocess.run([program, "--dump-commands"], check=True, stdout=subprocess.PIPE).stdout)
    if dump["program"] != PROGRAM:
        sys.exit("%s is not %s" % (program, PROGRAM))
    sys.stdout.write(with_forms({"bash": bash, "zsh": zsh}[shell](dump), dump))


if __name__ == "__main__":
    main()
