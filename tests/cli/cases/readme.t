# What the README shows first, as it stands there, but for where its files are.
$ readme=$(dirname "$(command -v run.py)")/../../README.md; rm machine; VFIOMIG_SIM=$PWD/shown
$ sed -n 's,/tmp/,,g; s/^    \(vfiomigctl \|kill \|sleep \)/\1/p' "$readme" >shown.sh; wc -l <shown.sh
8
$ bash -eu shown.sh >shown.out 2>shown.err; sed -n '/^Saved/p; /^Intact/p; /^Restored/p; / is STOP$/p' shown.out
Saved 64.0 MiB * (glob)
Intact:    yes
Restored 64.0 MiB * (glob)
0000:02:00.0 is STOP
$ for i in 1 2; do await shown.err 'reset.* 0000:0'$i; done
# Both holders lent what they held, and let go.
$ grep -c 'vfiomigctl: SIMULATED: lent to' shown.err
2
# Every command that it lists is one, and there is no other but help.
$ vfiomigctl --dump-commands | python3 -c 'import json, sys; print(*[c["name"] for c in json.load(sys.stdin)["commands"] if c["name"] != "help"])' | tr ' ' '\n' | sort >there
$ sed -n 's/^| commands | `\(.*\)` |$/\1/p' "$readme" | tr ' ' '\n' | sort | diff - there
$ vfiomigctl --dump-commands | python3 -c 'import json, sys; d = json.load(sys.stdin); print(*{f.split(":")[0] for f in d["device_forms"] + d["endpoint_forms"]} - {"file"}, sep="\n")' | while read -r kind; do grep -q "\`$kind:\`" "$readme" || echo "$kind: is not told of"; done
