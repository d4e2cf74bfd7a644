"""What the collector imports beyond WASI 0.2: settings, state, log and output, each from or to a file."""

import base64
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from wasmtime.component import ResourceHost, ResourceType, Variant

BUCKET = 1  # the number of the resource type in this program


class Imports:
    """The functions of one instance."""

    def __init__(self, folder):
        self.folder = folder
        self.state = folder / "state"
        self.taken = []

    def add_to(self, linker):
        """Offers them under the names that the component asks for."""
        functions = {
            "wasi:config/store@0.2.0-rc.1": {"get-all": self.settings},
            "wasi:keyvalue/store@0.2.0-draft": {
                "open": self.open,
                "[method]bucket.get": self.get,
                "[method]bucket.set": self.set,
            },
            "wasi:logging/logging@0.1.0-draft": {"log": self.log},
            "devo:collector/output@2.0.0": {
                "send": self.send,
                "add-dead-letters": self.add_dead_letters,
                "flush": self.flush,
            },
        }
        with linker.root() as root:
            for interface, members in functions.items():
                with root.add_instance(interface) as instance:
                    if "keyvalue" in interface:
                        instance.add_resource("bucket", ResourceType.host(BUCKET), lambda _store, _bucket: None)
                    for name, function in members.items():
                        instance.add_func(name, function)

    def settings(self, _store):
        return list(json.loads((self.folder / "settings.json").read_text("utf-8")).items())

    def open(self, _store, name):
        if name != "":
            return Variant("no-such-store")
        self.state.mkdir(exist_ok=True)
        return ResourceHost.own(0, BUCKET)

    def file(self, key):
        return self.state / quote(key, safe="")

    def get(self, store, bucket, key):
        bucket.drop(store)  # a borrowed handle ends with the call, and this library leaves that to us
        file = self.file(key)
        return file.read_bytes() if file.exists() else None

    def set(self, store, bucket, key, value):
        bucket.drop(store)
        unfinished = self.file(key).with_suffix(".unfinished")
        with open(unfinished, "wb") as out:
            out.write(bytes(value))
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(self.file(key))

    def log(self, _store, level, context, message):
        print(level.upper(), context, message, file=sys.stderr, flush=True)

    def send(self, _store, table, events):
        for index, event in enumerate(events):
            if b"\n" in bytes(event.body):
                return Variant("event-refused", index)
        for event in events:
            prefix = f"<14>{date(event.time)} python {table}: "
            self.taken.append(prefix.encode() + bytes(event.body) + b"\n")

    def add_dead_letters(self, _store, table, letters):
        """Appends them to the file `dead_letters`, a line of JSON each."""
        with open(self.folder / "dead_letters", "ab") as out:
            for letter in letters:
                content = base64.b64encode(bytes(letter.content)).decode()
                line = json.dumps({"table": table, "reason": letter.reason, "content_base64": content})
                out.write(line.encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())

    def flush(self, _store):
        """Appends what was taken to the file `delivered`. A file `unconfirmed` makes it fail, once, and lose that."""
        lines, self.taken = b"".join(self.taken), []
        refusal = self.folder / "unconfirmed"
        if refusal.exists():
            refusal.unlink()
            return Variant("unconfirmed", "the receiver is away.")
        with open(self.folder / "delivered", "ab") as out:
            out.write(lines)
            out.flush()
            os.fsync(out.fileno())


def date(time):
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=time.seconds, milliseconds=time.nanoseconds // 1_000_000)
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03}"
