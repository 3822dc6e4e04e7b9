"""What a container of a task runs: the command that stands for its image, its environment, volumes and log stream."""

import hashlib
import json
import os
import re
import tempfile

from moto.efs.models import efs_backends
from moto.logs.models import logs_backends

from . import references
from .clock import LOCK, now

IMAGES = {}  # image -> {"entrypoint": [...], "command": [...]}
_folder = "."  # where the commands run
_file_systems = {}  # id of an EFS file system -> its folder


class CannotStart(Exception):
    """The reason that the stopped task shows."""


def read_images(path):
    global _folder
    _folder = os.path.dirname(os.path.abspath(path))
    with open(path) as f:
        add_images(json.load(f))


def add_images(given):
    """An image is the list of its command, or an object with `entrypoint` and `command`, as in an image's configuration."""
    for image, what in given.items():
        IMAGES[image] = what if isinstance(what, dict) else {"command": what}


def image_of(name):
    """What stands for an image: the entry of its whole name, or of its repository, which is any tag and digest of it."""
    without_digest = name.partition("@")[0]
    head, _, last = without_digest.rpartition("/")
    repository = (f"{head}/" if head else "") + last.partition(":")[0]
    return next((IMAGES[n] for n in (name, without_digest, repository) if n in IMAGES), None)


def digest_of(name):
    """The digest of an image, made up unless its name has one."""
    given = name.partition("@")[2]
    return given or "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def command_of(container, override, ip, port):
    """An entry point of the definition drops the image's command; a command replaces it, the override's first."""
    image = image_of(container["image"])
    entrypoint = container.get("entryPoint") or image.get("entrypoint") or []
    own = [] if container.get("entryPoint") else image.get("command") or []
    command = override.get("command") or container.get("command") or own
    return [str(part).replace("{ip}", ip).replace("{port}", port) for part in [*entrypoint, *command]]


def environment_of(container, override, backend):
    """Values of the definition, secrets, and the override's values, which win."""
    env = references.environment(container, backend.account_id, backend.region_name)
    env.update({e["name"]: e["value"] for e in override.get("environment") or []})
    return env


def run_from():
    return _folder


def mounts_of(container, definition, backend):
    """A process has no file system of its own: MOUNT_<VOLUME> says where the folder of each volume is."""
    volumes, out = {v["name"]: v for v in definition.volumes or []}, {}
    for point in container.get("mountPoints") or []:
        name = point["sourceVolume"]
        efs = (volumes.get(name) or {}).get("efsVolumeConfiguration")
        folder = efs_folder(efs, backend) if efs else _folder_of(f"host/{name}")
        out["MOUNT_" + re.sub(r"\W", "_", name).upper()] = folder
    return out


def efs_folder(config, backend):
    """The same folder for each task that mounts the file system, which must be there and have a mount target."""
    fs = config["fileSystemId"]
    known = efs_backends[backend.account_id][backend.region_name].file_systems_by_id.get(fs)
    if known is None or not known.number_of_mount_targets:
        raise CannotStart(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed to "
            f'resolve "{fs}.efs.{backend.region_name}.amazonaws.com" - check that your file system ID is correct, and '
            "ensure that the VPC has an EFS mount target for this file system ID."
        )
    folder = os.path.join(_folder_of(fs), config.get("rootDirectory", "/").strip("/"))
    os.makedirs(folder, exist_ok=True)
    return folder


def _folder_of(name):
    if name not in _file_systems:
        _file_systems[name] = tempfile.TemporaryDirectory(prefix="awslab-volume-", ignore_cleanup_errors=True)
    return _file_systems[name].name


def log_sink(container, task_id, backend):
    """Returns what writes a line to the container's stream in CloudWatch Logs; None without `awslogs`."""
    config = container.get("logConfiguration") or {}
    if config.get("logDriver") != "awslogs":
        return None
    options = config["options"]
    logs = logs_backends[backend.account_id][options.get("awslogs-region", backend.region_name)]
    group = options["awslogs-group"]
    stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{container['name']}/{task_id}"
    if group not in logs.groups:
        if str(options.get("awslogs-create-group")).lower() != "true":
            raise CannotStart(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
                "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
            )
        logs.create_log_group(group, {})
    logs.create_log_stream(group, stream)

    def put(line):
        with LOCK:
            if group in logs.groups:
                logs.put_log_events(group, stream, [{"timestamp": int(now() * 1000), "message": line or " "}])

    return put


def clear():
    for folder in _file_systems.values():
        folder.cleanup()
    _file_systems.clear()
