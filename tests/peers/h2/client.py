"""An HTTP/2 client that is not ours, and that does what a well-behaved one never would.

    client.py PORT SCENARIO [MILLISECONDS [PATH]]

Prints one JSON object of what it saw. Frames are made by hyperframe and headers by hpack, so that nothing holds it to
the rules of the protocol; what it reads is understood by the h2 library.
"""

import json
import socket
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import hyperframe.frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Client:
    """One connection. It sends what it is told to, and notes what comes back, per stream."""

    def __init__(self, port, window=65535):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.reader = hpack.Decoder()
        self.buffer = b""
        self.streams = {}
        self.goaways = []
        self.closed = False
        self.windows = {}
        settings = frames.SettingsFrame(0)
        settings.settings = {frames.SettingsFrame.INITIAL_WINDOW_SIZE: window}
        self.socket.sendall(PREFACE + settings.serialize())

    def send(self, frame):
        try:
            self.socket.sendall(frame.serialize())
        except OSError:
            self.closed = True

    def head(self, stream, method="GET", path="/", end=True, more=()):
        fields = [(":method", method), (":scheme", "http"), (":authority", "app.test"), (":path", path), *more]
        frame = frames.HeadersFrame(stream, self.encoder.encode(fields))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        self.streams.setdefault(stream, {"status": None, "body": 0, "end": False, "reset": None})
        self.send(frame)

    def data(self, stream, data, end=False):
        for at in range(0, len(data) or 1, 16384):
            frame = frames.DataFrame(stream, data[at : at + 16384])
            if end and at + 16384 >= len(data):
                frame.flags.add("END_STREAM")
            self.send(frame)

    def window(self, stream, by):
        frame = frames.WindowUpdateFrame(stream)
        frame.window_increment = by
        self.send(frame)

    def ping(self):
        self.send(frames.PingFrame(0, b"pointsma"))

    def read(self, until, seconds=20.0):
        """Reads until that is so, the connection ends, or the time does."""
        end = time.monotonic() + seconds
        while not until() and not self.closed:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return until()
            except OSError:
                data = b""
            if not data:
                self.closed = True
            self.buffer += data
            self.understand()
        return until()

    def understand(self):
        while len(self.buffer) >= 9:
            frame, length = frames.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                return
            frame.parse_body(memoryview(self.buffer[9 : 9 + length]))
            self.buffer = self.buffer[9 + length :]
            self.note(frame)

    def note(self, frame):
        stream = self.streams.setdefault(frame.stream_id, {"status": None, "body": 0, "end": False, "reset": None})
        if isinstance(frame, frames.HeadersFrame):
            fields = dict(self.reader.decode(frame.data))
            stream["status"] = int(fields.get(":status", stream["status"] or 0))
            stream["front"] = fields.get("x-pointsman-front")
        elif isinstance(frame, frames.DataFrame):
            stream["body"] += len(frame.data)
        elif isinstance(frame, frames.RstStreamFrame):
            stream["reset"] = frame.error_code
        elif isinstance(frame, frames.GoAwayFrame):
            self.goaways.append(frame.error_code)
        elif isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            acknowledge = frames.SettingsFrame(0)
            acknowledge.flags.add("ACK")
            self.send(acknowledge)
        elif isinstance(frame, frames.PingFrame) and "ACK" not in frame.flags:
            answer = frames.PingFrame(0, frame.opaque_data)
            answer.flags.add("ACK")
            self.send(answer)
        elif isinstance(frame, frames.WindowUpdateFrame):
            self.windows[frame.stream_id] = self.windows.get(frame.stream_id, 0) + frame.window_increment
        if "END_STREAM" in frame.flags:
            stream["end"] = True

    def done(self, stream):
        seen = self.streams[stream]
        return lambda: seen["end"] or seen["reset"] is not None

    def seen(self, stream):
        return self.streams.get(stream)

    def get(self, stream, path="/"):
        self.head(stream, path=path)
        self.read(self.done(stream))
        return self.seen(stream)


def idle(port, pause):
    """Sends PING and WINDOW_UPDATE between two requests, which is not the beginning of a third one."""
    client = Client(port)
    first = client.get(1)
    for _ in range(4):
        client.ping()
        client.window(0, 1)
        client.read(lambda: False, pause / 1000 / 4)
    second = client.get(3) if not client.closed else None
    return {"first": first, "second": second, "goaways": client.goaways}


def farewell(port, pause):
    """Stays idle until it is asked to go, and sends a POST after the first GOAWAY, as it may have been on its way."""
    client = Client(port)
    first = client.get(1)
    # Not answering PING yet: the front does not know whether we have seen its GOAWAY.
    answer, client.note = client.note, None

    held = []

    def note(frame):
        if isinstance(frame, frames.PingFrame) and "ACK" not in frame.flags:
            held.append(frame)
        else:
            answer(frame)

    client.note = note
    told = client.read(lambda: client.goaways, pause / 1000)
    client.head(3, "POST", "/body", end=False)
    client.data(3, b"late", end=True)
    client.read(client.done(3))
    client.note = answer
    for frame in held:
        answer(frame)
    client.read(lambda: client.closed)
    return {"first": first, "told": bool(told), "late": client.seen(3), "goaways": client.goaways, "closed": client.closed}


def window(port, pause):
    """Opens streams whose data it never makes room for, beside one that it reads."""
    client = Client(port, window=0)
    stuck = list(range(1, 21, 2))
    for stream in stuck:
        client.head(stream, path="/large")
    client.head(101, path="/events")
    client.window(101, 1 << 20)
    client.read(lambda: all(client.streams[s]["reset"] is not None for s in stuck), pause / 1000)
    client.head(103, path="/body", method="POST", end=False)
    client.window(103, 1 << 20)
    client.data(103, b"hello", end=True)
    client.read(client.done(103))
    return {
        "stuck": [client.seen(s) for s in stuck],
        "events": client.seen(101),
        "after": client.seen(103),
        "goaways": client.goaways,
        "closed": client.closed,
    }


def upload(port, pause):
    """Uploads that stop, more than their windows hold, beside one that goes on."""
    client = Client(port)
    for stream in (1, 3, 5):
        client.head(stream, "POST", "/body", end=False)
        client.data(stream, b"x")
    client.head(7, "POST", "/body", end=False)
    steps = 12
    for _ in range(steps):
        client.data(7, b"y" * 1000)
        client.read(lambda: False, pause / 1000 / steps)
    client.data(7, b"", end=True)
    client.read(client.done(7))
    return {"stuck": [client.seen(s) for s in (1, 3, 5)], "moving": client.seen(7), "goaways": client.goaways, "closed": client.closed}


def neighbours(port, pause):
    """Fills the windows of uploads that nobody takes; an upload beside them has room of its own."""
    client = Client(port)
    client.read(lambda: client.windows.get(0, 0) > 0, 5)
    for stream in range(1, 41, 2):
        client.head(stream, "POST", "/deaf", end=False)
        client.data(stream, b"x" * 120_000)
    client.head(101, "POST", "/body", end=False)
    client.data(101, b"y" * 60000, end=True)
    client.read(client.done(101), pause / 1000)
    return {"beside": client.seen(101), "goaways": client.goaways, "closed": client.closed}


def full(port, pause):
    """Connects while the front is full, asks until it is served."""
    client = Client(port)
    first = client.get(1)
    print(json.dumps({"first": first}), flush=True)
    sys.stdin.readline()
    last, stream = first, 1
    end = time.monotonic() + pause / 1000
    while last and last["status"] != 200 and time.monotonic() < end and not client.closed:
        stream += 2
        last = client.get(stream)
        client.read(lambda: False, 0.05)
    return {"last": last, "goaways": client.goaways, "closed": client.closed}


def hold(port, pause):
    """Opens streams, makes room for nothing, and stays until it is told to end."""
    client = Client(port, window=0)
    streams = range(1, 81, 2)
    for stream in streams:
        client.head(stream, path=sys.argv[4])
    client.read(lambda: all(client.streams[s]["status"] for s in streams), pause / 1000)
    print(json.dumps({"open": sum(client.streams[s]["status"] == 200 for s in streams)}), flush=True)
    sys.stdin.readline()
    return {}


def both(port, pause):
    """A stream both ways, quiet for longer than anything is waited for."""
    client = Client(port)
    client.head(1, "POST", "/echo", end=False)
    client.read(lambda: client.streams[1]["status"])
    began = client.seen(1)["status"]
    client.read(lambda: False, pause / 1000)
    client.data(1, b"hello")
    client.read(lambda: client.streams[1]["body"] >= 5)
    client.data(1, b"", end=True)
    client.read(client.done(1))
    return {"began": began, "seen": client.seen(1), "closed": client.closed}


def many(port, pause):
    """So many streams as the front says, and one more."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    plain = socket.create_connection(("127.0.0.1", port))
    connection.initiate_connection()
    plain.sendall(connection.data_to_send())
    plain.settimeout(pause / 1000)
    most = None
    while most is None:
        for event in connection.receive_data(plain.recv(65536)):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                changed = event.changed_settings.get(h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS)
                most = changed.new_value if changed else 0
    client = Client(port)
    streams = range(1, 2 * most + 3, 2)
    for stream in streams:
        client.head(stream, path="/gate")
    client.read(lambda: any(client.streams[s]["reset"] is not None for s in streams), pause / 1000)
    refused = [s for s in streams if client.streams[s]["reset"] is not None]
    return {"most": most, "refused": len(refused), "code": client.streams[refused[0]]["reset"] if refused else None}


if __name__ == "__main__":
    scenario = {f.__name__: f for f in (idle, farewell, window, upload, neighbours, full, hold, both, many)}[sys.argv[2]]
    print(json.dumps(scenario(int(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 10_000)))
