#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
    tests/agent_stack.py BUILD MAX

How much of a thread's stack the agent takes at most: the deepest path of calls
through agent.elf from where calls enter it, with the frames that the compiler has
written down (-fstack-usage, return addresses included). Fails if it is more than MAX
bytes, or if there is something that cannot be added up: a call through a register,
recursion, a frame of variable size.
"""
import glob
import re
import subprocess
import sys

# Assembly: what it has pushed itself, with the return address (agent/entry_x86_64.S).
BY_HAND = {"agent_ring_put": 8, "agent_ask": 8}
# What slots lead to, and how much there is on the stack beside its frame.
ENTRIES = {"agent_enter": 0, "agent_begin": 8, "agent_end": 8, "agent_free": 0}
# The only call through memory: of the displaced code, which has the frame to itself.
THROUGH_MEMORY = "agent_enter"
# Labels in the middle of a function.
PARTS = {"agent_returned": THROUGH_MEMORY, "agent_put_taken": "agent_ring_put",
         "agent_put_done": "agent_ring_put"}


def name_of(symbol):
    symbol = symbol.split(".cold")[0]
    return PARTS.get(symbol, symbol)


def frames_of(build):
    frames = {}
    for path in glob.glob(build + "/agent/*.agent.su"):
        for line in open(path):
            where, size, kind = line.rstrip("\n").split("\t")
            if kind != "static":
                sys.exit("%s: a frame of variable size" % where)
            name = where.split(":")[-1]
            frames[name] = max(frames.get(name, 0), int(size))
    return frames


def calls_of(build):
    """Function -> (function that it calls or jumps to, whether that is a call)."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", build + "/agent/agent.elf"],
        check=True, capture_output=True, text=True).stdout
    calls, function = {}, None
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <([^>]+)>:", line)
        if head:
            if head[1] == "agent_code_end":
                break
            function = name_of(head[1])
            calls.setdefault(function, set())
            continue
        if re.search(r"\bcall\s+\*", line) and function != THROUGH_MEMORY:
            sys.exit("%s: a call that says not what it calls: %s" % (function, line))
        to = re.search(r"\b(call|j\w+)\s+[0-9a-f]+ <([^>+]+)", line)
        if to:
            calls[function].add((name_of(to[2]), to[1] == "call"))
    return calls


def main():
    build, most = sys.argv[1], int(sys.argv[2])
    frames, calls = frames_of(build), calls_of(build)
    header = open("agent/frame.h").read()
    size = int(re.search(r"#define AGENT_FRAME\s+(\d+)", header)[1])
    frames.update((name, size + more) for name, more in ENTRIES.items())
    frames.update(BY_HAND)

    def frame(name):
        for known in (name, re.sub(r"\.\d+$", "", name), name.split(".")[0]):
            if known in frames:
                return frames[known]
        return None

    def deepest(name, above):
        if name in above:
            sys.exit("%s calls itself" % name)
        best, path = frame(name), [name]
        for to, is_call in calls.get(name, ()) if name not in BY_HAND else ():
            if to == name or frame(to) is None:
                continue
            below, way = deepest(to, above + [name])
            # A jump leaves nothing behind: the return address is the other one's.
            if is_call:
                below, way = below + frame(name), [name] + way
            if below > best:
                best, path = below, way
        return best, path

    for name in ENTRIES:
        if name not in calls:
            sys.exit("agent.elf has no " + name)
    total, path = max(deepest(name, []) for name in ENTRIES)
    print("agent: %d bytes of stack: %s" % (
        total, ", ".join("%s %d" % (name, frame(name)) for name in path)))
    if total > most:
        sys.exit("more than %d" % most)


main()
