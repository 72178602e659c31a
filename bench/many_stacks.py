# SPDX-License-Identifier: MIT
#
# A python3 that allocates through more than 5,000 different call stacks of the
# interpreter: calls that go through C code (sort keys, regular expressions, iterators,
# descriptors, ...) in every order, a few deep, down to objects of different types, some of
# which are kept. Run it with PYTHONMALLOC=malloc. Says "ready", and after a line on standard
# input does its work and says "done".
import functools
import itertools
import json
import re
import sys


class Called:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, *_):
        return self.inner()

    def __getattr__(self, name):
        return self.inner()

    def __getitem__(self, key):
        return self.inner()

    def __iter__(self):
        return iter((self.inner(),))

    def __eq__(self, other):
        self.inner()
        return True

    def __str__(self):
        self.inner()
        return ""

    def __add__(self, other):
        return self.inner()

    def __enter__(self):
        return self.inner()

    def __exit__(self, *_):
        return False

    __hash__ = None


# Each calls f through another part of the interpreter.
WAYS = [
    lambda f: list(map(Called(f), (1,))),
    lambda f: sorted((1, 2), key=lambda _: f() and 0),
    lambda f: re.sub("a", lambda _: f() and "", "a"),
    lambda f: functools.reduce(lambda a, b: f(), (1, 2)),
    lambda f: getattr(Called(f), "attribute"),
    lambda f: Called(f)[0],
    lambda f: list(Called(f)),
    lambda f: Called(f) == 0,
    lambda f: str(Called(f)),
    lambda f: Called(f) + 1,
    lambda f: functools.partial(f)(),
    lambda f: json.dumps(Called(f), default=lambda _: f() and 0),
    lambda f: dict(itertools.islice(((f() and 0, 0) for _ in (1,)), 1)),
]

# Each allocates something else.
MADE = [
    lambda: bytearray(600),
    lambda: [0] * 100,
    lambda: {1: 2, 3: 4},
    lambda: "x" * 700,
    lambda: (1.5, {2}),
]


def main():
    kept = []
    print("ready", flush=True)
    sys.stdin.readline()
    for path in itertools.product(WAYS, WAYS, WAYS[::4]):
        for make in MADE:

            def call(make=make):
                kept.append(make())
                return True

            for way in path:
                call = functools.partial(way, call)
            call()
    print("done", flush=True)
    sys.stdin.readline()


main()
