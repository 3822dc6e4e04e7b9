"""The application of a task. usage: app.py ADDRESS PORT

Environment: VERSION, which it answers with; POINTSMAN_STACK, which it says in a header; SLOW, the seconds before it listens; BAD, how it misbehaves:
  crash   exits with 3 at once
  health  answers /health with 500
  flap    the one that gets port LEADER exits after LIFE seconds, the others fail their health checks
"""

import os
import socket
import sys
import threading
import time

ip, port = sys.argv[1], int(sys.argv[2])
version, bad = os.environ.get("VERSION", "?"), os.environ.get("BAD")
if bad == "crash":
    sys.exit(3)
if bad == "flap":
    leader = socket.socket()
    try:
        leader.bind((ip.rpartition(".")[0] + ".254", int(os.environ["LEADER"])))
        threading.Timer(float(os.environ.get("LIFE", "1")), lambda: os._exit(1)).start()
    except OSError:
        bad = "health"
time.sleep(float(os.environ.get("SLOW", "0")))

import http.server  # noqa: E402  (slow to load: after the exits above)
import socketserver  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{version} {ip}\n".encode()
        self.send_response(500 if bad == "health" and self.path == "/health" else 200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-stack", os.environ.get("POINTSMAN_STACK", "none"))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


Server((ip, port), Handler).serve_forever()
