"""Heat's API (port 8004), its API for signals (8000) and its engine in ONE process, so that the in-process transport is
enough. Heat's own heat-all does not do: its API part always forks. Usage: serve_heat.py HOST heat.conf"""
import sys

host, configuration = sys.argv[1:3]
sys.argv = ["heat-all", "--config-file", configuration]

import eventlet  # noqa: E402

eventlet.monkey_patch(os=False)
# As heat.cmd does: threads that were there before the patch stay known.
import __original_module_threading  # noqa: E402
import threading  # noqa: E402

__original_module_threading.current_thread.__globals__["_active"] = threading._active

import os  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402

import eventlet.wsgi  # noqa: E402
import oslo_i18n  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402

oslo_i18n.enable_lazy()
from heat import version  # noqa: E402
from heat.common import config, messaging  # noqa: E402
from heat.engine import service, template  # noqa: E402
from heat.rpc import api as rpc_api  # noqa: E402
from oslo_messaging._drivers import impl_fake  # noqa: E402

logging.register_options(cfg.CONF)
cfg.CONF(project="heat", prog="heat-all", version=version.version_info.version_string())
logging.setup(cfg.CONF, "heat-all")
logging.set_defaults()
config.set_config_defaults()
messaging.setup()
assert template._get_template_extension_manager().names()

# The in-process transport looks into its queue every 50 ms, which nobody's message queue does.
impl_fake.time = types.SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 0.01)))

service.EngineService(cfg.CONF.host, rpc_api.ENGINE_TOPIC).start()
nowhere = open(os.devnull, "w")
servers = [
    eventlet.spawn(eventlet.wsgi.server, eventlet.listen((host, port)), config.load_paste_app(name), log=nowhere)
    for port, name in ((8004, "heat-api"), (8000, "heat-api-cfn"))
]
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
for server in servers:
    server.wait()
