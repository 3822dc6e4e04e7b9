"""Keystone in one process with threads. Usage: serve_keystone.py HOST keystone.conf"""
import os
import sys

host, os.environ["OS_KEYSTONE_CONFIG_FILES"] = sys.argv[1:3]
sys.argv = ["keystone"]

from keystone.server.wsgi import initialize_public_application  # noqa: E402
from waitress import serve  # noqa: E402

serve(initialize_public_application(), host=host, port=5000, threads=8, _quiet=True)
