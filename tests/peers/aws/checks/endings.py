"""A lab takes with it what it runs, however it ends."""

import os
import subprocess

from .world import World, check, until


def running(lab):
    """The processes that carry the mark of a task of this lab."""
    mark = f"TASK_IP={lab.ready['network']}.".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                found += [pid] if any(v.startswith(mark) for v in f.read().split(b"\0")) else []
        except OSError:
            pass
    return found


def temporary_folder(lab):
    """The folder that the lab's task writes to, and all that the lab keeps."""
    with open(f"/proc/{running(lab)[0]}/environ", "rb") as f:
        mount = next(v for v in f.read().decode().split("\0") if v.startswith("MOUNT_SCRATCH="))
    assert os.path.isdir(mount.partition("=")[2]), mount
    return os.path.dirname(mount.partition("=")[2])


def with_a_task(end):
    lab = World()
    try:
        lab.begin()
        # A process that the container's first one leaves to itself.
        script = {"entryPoint": ["sh", "-c"], "command": ["sleep 601 & exec sleep 600"]}
        script["mountPoints"] = [{"sourceVolume": "scratch", "containerPath": "/scratch"}]
        definition = lab.definition("left", image="job:1", container=script, volumes=[{"name": "scratch"}])
        lab.service("left", definition)
        until("it runs", lambda: len(running(lab)) == 2)
        folder = temporary_folder(lab)
        end(lab)
        until("nothing is left", lambda: not running(lab) and not os.path.exists(folder))
    finally:
        lab.process.kill()
        lab.process.wait()
        lab.noted.close()


@check
def nothing_outlives_a_lab_whose_input_ends(w):
    with_a_task(World.end)


@check
def nothing_outlives_a_lab_that_is_killed(w):
    with_a_task(lambda lab: lab.process.kill())


@check
def a_lab_listens_on_loopback_only(w):
    command = [*w.command[:2], "0.0.0.0", "0", w.command[4]]
    refusal = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert refusal.returncode == 2 and "is not an address of 127.0.0.0/8" in refusal.stderr, refusal
