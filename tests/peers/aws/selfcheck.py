#!/usr/bin/env python3
"""Checks what the lab promises. Several labs share the subjects, the modules of checks/, between them.

usage: selfcheck.py [SUBJECT ...] [--only WORD] [--labs N] [-v]
"""

import argparse
import importlib
import os
import pkgutil
import queue
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
import checks  # noqa: E402
from checks.world import World  # noqa: E402

LONGEST = [
    "starts",
    "endings",
    "balancers",
    "services",
    "snapshots",
    "groups",
    "scaling",
    "tasks",
    "rules",
]  # begin with these


class Lab(threading.Thread):
    """Runs subjects until none is left."""

    def __init__(self, subjects, only, verbose):
        super().__init__()
        self.subjects, self.only, self.verbose = subjects, only, verbose
        self.done, self.failed, self.world = 0, [], None

    def run(self):
        try:
            self.world = World()
            while True:
                self.run_subject(self.subjects.get_nowait())
        except queue.Empty:
            pass
        except Exception:
            traceback.print_exc()
            self.failed.append("the lab itself")
        finally:
            if self.world is not None:
                self.world.end()

    def run_subject(self, name):
        module = importlib.import_module(f"checks.{name}")
        chosen = [f for f in vars(module).values() if getattr(f, "is_check", False) and self.only in f.__name__]
        if chosen:
            self.world.begin()
        for check in chosen:
            self.run_one(name, check)

    def run_one(self, subject, check):
        name, began = f"{subject}.{check.__name__}", time.time()
        try:
            check(self.world)
            result = "ok"
        except Exception as e:
            self.failed.append(name)
            result = f"FAILED: {type(e).__name__}: {e}"
            if self.verbose:
                traceback.print_exc()
            self.world.lab("DELETE", "faults")
        self.done += 1
        print(f"{name:80} {time.time() - began:5.1f} s  {result}\n", end="", flush=True)


def main():
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usage.add_argument("subjects", nargs="*", metavar="SUBJECT")
    usage.add_argument("--only", default="", metavar="WORD", help="run only the checks with this in their names")
    usage.add_argument("--labs", type=int, default=4, metavar="N", help="run on so many labs at once (4)")
    usage.add_argument("-v", "--verbose", action="store_true", help="print where a check failed")
    given = usage.parse_args()
    all_of_them = [m.name for m in pkgutil.iter_modules(checks.__path__) if m.name != "world"]
    names = given.subjects or sorted(all_of_them, key=lambda n: LONGEST.index(n) if n in LONGEST else len(LONGEST))
    subjects, began = queue.Queue(), time.time()
    for name in names:
        subjects.put(name)
    labs = [Lab(subjects, given.only, given.verbose) for _ in range(min(given.labs, len(names)))]
    for lab in labs:
        lab.start()
    for lab in labs:
        lab.join()
    failed = [name for lab in labs for name in lab.failed]
    print(f"{sum(lab.done for lab in labs)} checks, {len(failed)} failed, {time.time() - began:.0f} s", flush=True)
    os._exit(bool(failed))


if __name__ == "__main__":
    main()
