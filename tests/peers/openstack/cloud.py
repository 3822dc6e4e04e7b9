"""A whole cloud of Keystone and Heat: starts it, says one line of JSON when it is ready, and ends it with its standard
input, so that it never outlives whoever started it.

Usage: /usr/bin/python3 cloud.py FOLDER

Lines that it understands meanwhile, each answered with a line: kill-heat, start-heat.
"""
import glob
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import settings  # noqa: E402

MARIADB = [
    "--no-defaults", "--user=root", "--skip-name-resolve", "--performance-schema=0", "--max-connections=200",
    "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
]
SMALL_FILES = ["--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:4M:autoextend"]
DATABASES = """\
create database keystone character set utf8mb3;
create database heat character set utf8mb3;
create user 'cloud'@'%' identified by 'cloud';
grant all on *.* to 'cloud'@'%';
"""
PATIENCE = 60


def free_address():
    """One of 127.51.0.0/16 where none of our ports is taken: two runs on one host do not meet."""
    while True:
        address = "127.51.%d.%d" % (random.randrange(1, 255), random.randrange(1, 255))
        try:
            for port in (3306, 5000, 8000, 8004, 8774):
                with socket.socket() as trial:
                    trial.bind((address, port))
            return address
        except OSError:
            continue


class Cloud:
    """All processes of one cloud, in one folder."""

    def __init__(self, folder, host):
        self.folder, self.host, self.running = folder, host, {}
        self.environment = dict(os.environ, CLOUD_SERVERS=folder + "/servers", PYTHONWARNINGS="ignore",
                                PYTHONDONTWRITEBYTECODE="1")

    def start(self, name, command):
        with open("%s/log/%s.out" % (self.folder, name), "ab") as output:
            self.running[name] = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                                                  stderr=output, cwd=self.folder, start_new_session=True)

    def until(self, name, ready):
        """Waits for what was started to be ready."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.running[name].poll() is not None:
                break
            if ready():
                return
            time.sleep(0.05)
        with open("%s/log/%s.out" % (self.folder, name)) as log:
            sys.exit("%s did not come up:\n%s" % (name, log.read()[-3000:]))

    def answers(self, port, path="/"):
        try:
            urllib.request.urlopen("http://%s:%d%s" % (self.host, port, path), timeout=5).close()
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def mysql(self, statements):
        client = ["mariadb", "--no-defaults", "-uroot", "-S", self.folder + "/mysql.sock", "-e", statements]
        return subprocess.run(client, capture_output=True).returncode == 0

    def python(self, script, *arguments):
        return [sys.executable, os.path.join(HERE, script), self.host, *arguments]

    def start_mariadb(self):
        self.start("mariadb", ["mariadbd", *MARIADB, *SMALL_FILES, "--datadir=" + self.folder + "/mysql",
                               "--socket=" + self.folder + "/mysql.sock", "--bind-address=" + self.host, "--port=3306",
                               "--pid-file=" + self.folder + "/mysqld.pid"])
        self.until("mariadb", lambda: self.mysql("select 1"))

    def start_keystone(self):
        self.start("keystone", self.python("serve_keystone.py", self.folder + "/etc/keystone.conf"))

    def start_heat(self):
        self.start("heat", self.python("serve_heat.py", self.folder + "/etc/heat.conf"))

    def start_compute(self):
        with open(self.folder + "/limits.json", "w") as limits:
            json.dump({"maxTotalInstances": -1, "totalInstancesUsed": 0, "maxTotalCores": -1, "totalCoresUsed": 0,
                       "maxTotalRAMSize": -1, "totalRAMUsed": 0}, limits)
        self.start("compute", self.python("serve_compute.py", self.folder + "/limits.json"))

    def wait_for(self, **ports):
        for name, port in ports.items():
            self.until(name, lambda: self.answers(port))

    def make(self):
        """Databases, keys, users: what takes long and is the same every time."""
        settings.write(self.folder, self.host)
        with open(self.folder + "/log/make.out", "wb") as output:
            def run(*command):
                subprocess.run(command, check=True, stdout=output, stderr=output, env=self.environment, cwd=self.folder)

            run("mariadb-install-db", "--no-defaults", "--user=root", "--datadir=" + self.folder + "/mysql",
                "--auth-root-authentication-method=normal", "--skip-test-db", *SMALL_FILES)
            self.start_mariadb()
            if not self.mysql(DATABASES):
                sys.exit("the databases cannot be made")
            heat = ("import sys; sys.argv[0] = 'heat-manage'; from heat.cmd.manage import main; main()",
                    "--config-file", self.folder + "/etc/heat.conf", "db_sync")
            syncing = subprocess.Popen([sys.executable, "-c", *heat], stdout=output, stderr=output, env=self.environment)

            def manage(*arguments):
                run(sys.executable, "-c", "from keystone.cmd.manage import main; main()",
                    "--config-file", self.folder + "/etc/keystone.conf", *arguments)

            manage("db_sync")
            for keys in ("fernet_setup", "credential_setup"):
                manage(keys, "--keystone-user", "root", "--keystone-group", "root")
            url = "http://%s:5000/v3" % self.host
            manage("bootstrap", "--bootstrap-password", "admin-password", "--bootstrap-region-id", "RegionOne",
                   "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url)
            self.start_keystone()
            self.wait_for(keystone=5000)
            import users
            users.make(self.host)
            if syncing.wait() != 0:
                sys.exit("Heat's database cannot be made")
        self.end()

    def move(self, former):
        """Puts a copy that was made at another address at ours."""
        statement = "update keystone.endpoint set url = replace(url, '%s', '%s')" % (former, self.host)
        if not self.mysql(statement):
            sys.exit("the catalog cannot be changed")

    def end(self, *names):
        """Ends these, or all: politely, then by force."""
        ending = [self.running.pop(name) for name in (names or list(self.running)) if name in self.running]
        for process in ending:
            process.terminate()
        for process in ending:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def end_servers(self):
        """What Heat's servers still run."""
        mark = ("HOME=" + self.folder + "/servers/").encode()
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as file:
                    if any(variable.startswith(mark) for variable in file.read().split(b"\0")):
                        os.kill(int(path.split("/")[2]), signal.SIGKILL)
            except OSError:
                pass


def made(folder):
    """The folder with the databases, made if need be: whole or not at all, and one at a time."""
    digest = hashlib.sha256()
    for path in sorted(glob.glob(HERE + "/*.py")):
        with open(path, "rb") as file:
            digest.update(file.read())
    place = os.path.join(folder, "made-" + digest.hexdigest()[:12])
    if not os.path.isdir(place):
        for old in glob.glob(folder + "/made-*"):
            shutil.rmtree(old, ignore_errors=True)
        draft = tempfile.mkdtemp(prefix="draft-", dir=folder)
        cloud = Cloud(draft, free_address())
        try:
            cloud.make()
        finally:
            cloud.end()
        with open(draft + "/host", "w") as file:
            file.write(cloud.host)
        os.rename(draft, place)
    return place


def main():
    folder = os.path.abspath(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
    os.environ["PATH"] += ":/usr/sbin"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    source = made(folder)
    place = tempfile.mkdtemp(prefix="cloud-", dir=folder)
    shutil.copytree(source, place, dirs_exist_ok=True)
    cloud = Cloud(place, free_address())
    try:
        settings.write(place, cloud.host)
        cloud.start_compute()
        cloud.start_mariadb()
        with open(source + "/host") as former:
            cloud.move(former.read())
        cloud.start_keystone()
        cloud.start_heat()
        cloud.wait_for(keystone=5000, heat=8004, compute=8774)
        ready = {"host": cloud.host, "clouds": place + "/etc/clouds.yaml", "limits": place + "/limits.json",
                 "folder": place, "seconds": round(time.monotonic() - began, 1)}
        print(json.dumps(ready), flush=True)
        for line in sys.stdin:
            if line.strip() == "kill-heat":
                cloud.running["heat"].kill()
                cloud.running.pop("heat").wait()
            elif line.strip() == "start-heat":
                cloud.start_heat()
                cloud.wait_for(heat=8004)
            print("done", flush=True)
    finally:
        cloud.end()
        cloud.end_servers()
        shutil.rmtree(place, ignore_errors=True)


main()
