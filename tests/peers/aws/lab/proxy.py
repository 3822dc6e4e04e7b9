"""One connection of a client to a node of a balancer."""

import asyncio
import random
import time

from . import targets
from .actions import SIGN_IN
from .clock import LOCK, SETTINGS, STOP
from .network import is_loopback
from .routing import choose_group, choose_target, matches, redirect, sign_in, transform
from .views import seen_by, served

BROKEN = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)


async def serve(reader, writer, key, fixed_node):
    """Answers requests until either side ends. `key` names the listener; without `fixed_node` each request meets any node."""
    try:
        while not STOP.is_set():
            node = fixed_node if fixed_node is not None else random.randrange(len(SETTINGS["propagation_ms"]))
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            request = Exchange(writer, node, raw)
            request.body = await reader.readexactly(int(request.headers.get("content-length", 0) or 0))
            request.entry = seen_by(node).get(key)
            keep = request.entry is not None and await request.answer()
            if not keep or request.headers.get("connection", "").lower() == "close":
                break
    except (*BROKEN, asyncio.TimeoutError, ValueError):
        pass
    finally:
        writer.close()


class Exchange:
    """One request and its response."""

    def __init__(self, writer, node, raw):
        line, *self.head = raw.decode("latin1").rstrip("\r\n").split("\r\n")
        self.method, self.path, _ = line.split(" ", 2)
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (h.partition(":") for h in self.head)}
        self.writer, self.node, self.body, self.entry = writer, node, b"", None

    async def say(self, status, text="", extra=None, kind="text/plain"):
        """Responds on the balancer's own behalf. Returns whether the connection stays."""
        data = text.encode()
        lines = ["Server: awselb/2.0", *(f"{k}: {v}" for k, v in (extra or {}).items())]
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        served[(self.entry["name"], self.node, str(status))] += 1
        head = f"HTTP/1.1 {status} ALB\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        self.writer.write(head.encode() + (b"" if self.method == "HEAD" else data))
        await self.writer.drain()
        return True

    async def answer(self):
        """Follows the actions of the first rule that matches. Returns whether the connection stays."""
        client = self.writer.get_extra_info("peername")[0]
        fits = (
            r for r in self.entry["rules"] if matches(r["conditions"], self.method, self.path, self.headers, client)
        )
        rule = next(fits, None)
        if rule is None:
            return await self.say(503)
        scheme, added = self.entry["protocol"].lower(), {}
        for action in rule["actions"]:
            if action["Type"] in SIGN_IN:
                status, more = sign_in(action, self.headers, f"{scheme}://{self.headers.get('host', '')}/")
                if status:
                    return await self.say(status, "", more)
                added.update(more)
            elif action["Type"] == "fixed-response":
                c = action["FixedResponseConfig"]
                return await self.say(
                    c["StatusCode"], c.get("MessageBody") or "", kind=c.get("ContentType") or "text/plain"
                )
            elif action["Type"] == "redirect":
                config, host = action["RedirectConfig"], self.headers.get("host", "").rsplit(":", 1)[0]
                to = redirect(config, scheme, host, self.entry["port"], self.path)
                return await self.say(config["StatusCode"].removeprefix("HTTP_"), "", {"Location": to})
            elif action["Type"] == "forward":
                return await self.to_target(rule, action, client, scheme, added)
        return await self.say(500)

    async def to_target(self, rule, action, client, scheme, added):
        arn, cookies = choose_group(action, self.headers)
        with LOCK:
            group = next((b.target_groups[arn] for b in targets.backends() if arn in b.target_groups), None)
            target, more = choose_target(group, self.headers) if group else (None, [])
            ip = targets.address(target) if target else None
        if target is None or ip is None or not is_loopback(ip):
            return await self.say(503)
        targets.requests[arn] += 1
        self.path, self.head = transform(rule, self.path, self.head)
        trace = {
            "x-forwarded-for": client,
            "x-forwarded-proto": scheme,
            "x-forwarded-port": str(self.entry["port"]),
            "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-lab",
            **added,
        }
        return await self.forward(ip, int(target["Port"]), trace, cookies + more)

    async def forward(self, ip, port, trace, cookies):
        up = None
        try:
            try:
                source, up = await asyncio.wait_for(asyncio.open_connection(ip, port), 10)
                up.write(self.request_line_and_head(trace) + self.body)
                await up.drain()
                raw = await asyncio.wait_for(source.readuntil(b"\r\n\r\n"), 60)
            except asyncio.TimeoutError:
                return await self.say(504)
            except BROKEN:
                return await self.say(502)
            return await self.pass_on(raw, source, cookies)
        finally:
            if up is not None:
                up.close()

    def request_line_and_head(self, trace):
        own = {"connection", "keep-alive", *trace}
        lines = [h for h in self.head if h.partition(":")[0].strip().lower() not in own]
        upgrade = any(h.lower().startswith("upgrade:") for h in lines)
        lines += [f"{k}: {v}" for k, v in trace.items()] + [f"Connection: {'Upgrade' if upgrade else 'close'}"]
        head = "".join(f"{line}\r\n" for line in [f"{self.method} {self.path} HTTP/1.1", *lines])
        return head.encode("latin1") + b"\r\n"

    async def pass_on(self, raw, source, cookies):
        """Copies the target's response, chunked bodies as they come. Returns whether the connection stays."""
        status, *fields = raw.decode("latin1").rstrip("\r\n").split("\r\n")
        code = status.split(" ")[1]
        served[(self.entry["name"], self.node, code)] += 1
        length = next((int(f.partition(":")[2]) for f in fields if f.lower().startswith("content-length:")), None)
        if self.method == "HEAD" or code in ("204", "304"):
            length = 0
        fields = [f for f in fields if not f.lower().startswith("connection:")] + [f"Set-Cookie: {c}" for c in cookies]
        if length is None:
            fields.append("Connection: close")
        self.writer.write((status + "\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n").encode("latin1"))
        if length is not None:
            self.writer.write(await source.readexactly(length) if length else b"")
            await self.writer.drain()
            return True
        while chunk := await source.read(65536):
            self.writer.write(chunk)
            await self.writer.drain()
        return False
