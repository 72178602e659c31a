# SPDX-License-Identifier: MIT
#
# Workload C: python3 that turns a document into JSON text and back, over and over. Run it with
# PYTHONMALLOC=malloc, so that every object is a call of malloc.
#
#	json_rounds.py ROUNDS
#
# Prints the milliseconds of a round: "work 3.21".
import json
import sys
import time

DOCUMENT = [
    {
        "id": number,
        "name": f"customer number {number}",
        "address": {"street": f"{number} Main Street", "city": "Springfield", "zip": number * 7},
        "orders": [{"article": f"article {i}", "price": i * 1.25, "paid": i % 2 == 0}
                   for i in range(number % 5)],
        "note": None,
    }
    for number in range(500)
]


def main():
    rounds = int(sys.argv[1])
    start = time.perf_counter()
    for _ in range(rounds):
        if json.loads(json.dumps(DOCUMENT)) != DOCUMENT:
            sys.exit("the document came back changed")
    print(f"work {(time.perf_counter() - start) * 1000 / rounds:.3f}")


main()
