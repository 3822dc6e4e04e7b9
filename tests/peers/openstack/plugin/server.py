"""A Heat resource that takes what OS::Nova::Server takes, and runs a process of this host at a loopback address of its own.

  image              a folder of images/ with a program `run`, which is told ADDRESS, PORT, SERVER_NAME, IMAGE and META_*
  user_data          when it begins with #!, it is run once beside the image, as cloud-init would; by the image's program
                     `boot`, where there is one
  metadata           also how a story makes it misbehave:
    boot_seconds       how long it takes to become active
    fail               why it cannot be created
    refuse_delete      so many deletes are refused; "until FILE" refuses them until that file is there
    delete_seconds     how long a delete takes
    refuse_suspend     so many suspends are refused, or "until FILE"
    refuse_resume      so many resumes are refused, or "until FILE"
    suspend_seconds    how long a suspend takes, while the process still runs
    resume_seconds     how long a resume takes, while the process runs already
"""
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

from heat.common import exception
from heat.common.i18n import _
from heat.engine import attributes, properties, resource

IMAGES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "images")
SERVERS = os.environ["CLOUD_SERVERS"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PORT = 8088
S = properties.Schema
A = attributes.Schema


class TestServer(resource.Resource):
    properties_schema = {
        "name": S(S.STRING, update_allowed=True),
        "image": S(S.STRING, required=True),
        "flavor": S(S.STRING, update_allowed=True),
        "key_name": S(S.STRING),
        "networks": S(S.LIST, default=[]),
        "security_groups": S(S.LIST, default=[]),
        "user_data": S(S.STRING, default=""),
        "user_data_format": S(S.STRING, default="RAW"),
        "metadata": S(S.MAP, default={}, update_allowed=True),
        "availability_zone": S(S.STRING),
    }
    attributes_schema = {
        "first_address": A(_("its address"), type=A.STRING),
        "accessIPv4": A(_("its address"), type=A.STRING),
        "name": A(_("its name"), type=A.STRING),
    }
    entity = None

    def _misbehave(self, key, default):
        return (self.properties["metadata"] or {}).get(key, default)

    @staticmethod
    def _folder(server):
        return os.path.join(SERVERS, server)

    def _facts(self, server):
        try:
            with open(self._folder(server) + "/facts.json") as file:
                return json.load(file)
        except (FileNotFoundError, TypeError):
            return None

    @staticmethod
    def _address():
        """One at which nothing listens, and that was given to nobody. Heat's engine is one process."""
        given = {os.path.basename(path) for path in glob.glob(SERVERS + "/.addresses/*")}
        while True:
            address = "127.52.%d.%d" % (random.randrange(1, 255), random.randrange(1, 255))
            if address in given:
                continue
            with socket.socket() as trial:
                try:
                    trial.bind((address, PORT))
                except OSError:
                    continue
            os.makedirs(SERVERS + "/.addresses", exist_ok=True)
            open(SERVERS + "/.addresses/" + address, "w").close()
            return address

    @staticmethod
    def _processes(server):
        mark = ("CLOUD_SERVER=" + server).encode()
        found = []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return found

    def handle_create(self):
        reason = self._misbehave("fail", "")
        if reason:
            raise exception.Error(reason)
        image = os.path.join(IMAGES, self.properties["image"], "run")
        if not os.access(image, os.X_OK):
            raise exception.Error("Image %s could not be found." % self.properties["image"])
        server = "%s-%d" % (self.uuid, time.time_ns())
        address, folder = self._address(), self._folder(server)
        os.makedirs(folder)
        self.resource_id_set(server)
        name = self.properties["name"] or self.physical_resource_name()
        environment = {"PATH": PATH, "HOME": folder, "CLOUD_SERVER": server, "ADDRESS": address, "PORT": str(PORT),
                       "SERVER_NAME": name, "IMAGE": self.properties["image"]}
        metadata = self.properties["metadata"] or {}
        environment.update({"META_" + key.upper(): str(value) for key, value in metadata.items()})
        user_data = self.properties["user_data"] or ""
        with open(folder + "/user_data", "w") as file:
            file.write(user_data)
        os.chmod(folder + "/user_data", 0o700)
        with open(folder + "/facts.json", "w") as file:
            json.dump({"address": address, "name": name, "created": time.time()}, file)
        with open(folder + "/run.json", "w") as file:
            json.dump({"environment": environment, "image": image}, file)
        self._run(server, [image], "console.log")
        if user_data.startswith("#!"):
            boot = os.path.join(os.path.dirname(image), "boot")
            self._run(server, [boot] * os.access(boot, os.X_OK) + [folder + "/user_data"], "user_data.log")
        return server

    def _run(self, server, program, log):
        folder = self._folder(server)
        with open(folder + "/run.json") as file:
            environment = json.load(file)["environment"]
        with open(os.path.join(folder, log), "ab") as output:
            subprocess.run(["setsid", "--fork", *program], env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                           stdout=output, stderr=output, check=True, close_fds=True)

    def check_create_complete(self, server):
        age = time.time() - self._facts(server)["created"]
        if age < float(self._misbehave("boot_seconds", 0)):
            return False
        if not self._processes(server):
            # A process that is just becoming another program has no environment to be found by.
            if age < 2:
                return False
            with open(self._folder(server) + "/console.log") as console:
                raise exception.Error("Server ended: " + console.read()[-300:].strip())
        return True

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        return None

    # A real server is suspended with its memory, and goes on from there when it is resumed. Here its processes end, and the
    # image's program is started again: what a suspended server must not do is to serve, and neither does.
    def handle_suspend(self):
        if self._refuses("suspend"):
            raise exception.Error("Hypervisor is out of disk.")
        return {"server": self.resource_id, "since": time.time()}

    def check_suspend_complete(self, going):
        passed = time.time() - going["since"]
        if passed < float(self._misbehave("suspend_seconds", 0)):
            return False
        self._signal(going["server"], signal.SIGKILL if passed > 5 else signal.SIGTERM)
        return not self._processes(going["server"])

    def handle_resume(self):
        if self._refuses("resume"):
            raise exception.Error("No valid host was found.")
        server = self.resource_id
        # As of Nova: what runs is not started again.
        if not self._processes(server):
            with open(self._folder(server) + "/run.json") as file:
                self._run(server, [json.load(file)["image"]], "console.log")
        return time.time()

    def check_resume_complete(self, since):
        return time.time() - since >= float(self._misbehave("resume_seconds", 0))

    def handle_check(self):
        if not self._processes(self.resource_id):
            raise exception.Error("Server is not ACTIVE.")

    def _refuses(self, what):
        refuse = str(self._misbehave("refuse_" + what, "0"))
        if refuse.startswith("until "):
            return not os.path.exists(refuse[len("until "):])
        count = int(self.data().get(what + "s", "0")) + 1
        self.data_set(what + "s", str(count))
        return count <= int(refuse)

    def handle_delete(self):
        server = self.resource_id
        if not server or not self._facts(server):
            return None
        if self._refuses("delete"):
            raise exception.Error("Volume is still attached.")
        self._signal(server, signal.SIGTERM)
        return {"server": server, "since": time.time()}

    def check_delete_complete(self, going):
        if not going:
            return True
        passed = time.time() - going["since"]
        if passed < float(self._misbehave("delete_seconds", 0)):
            return False
        if self._processes(going["server"]):
            if passed > 5:
                self._signal(going["server"], signal.SIGKILL)
            return False
        shutil.rmtree(self._folder(going["server"]), ignore_errors=True)
        return True

    def _signal(self, server, number):
        for process in self._processes(server):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    def _resolve_attribute(self, name):
        facts = self._facts(self.resource_id)
        return facts and facts["name" if name == "name" else "address"]


def resource_mapping():
    return {"Pointsman::Test::Server": TestServer}
