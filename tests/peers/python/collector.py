"""Runs the collector component in Python, with wasmtime. A line on standard input names a call, a line on standard output
answers it.

usage: collector.py COMPONENT FOLDER

FOLDER has the settings (settings.json, flat names), gets the state (state/), the events (delivered) and what can't be one
(dead_letters), and what the component prints in its last call (stdout). The log goes to standard error. Every call is on a new instance, as the world demands.
"""

import hashlib
import json
import sys
from pathlib import Path

from imports import Imports
from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record

SERVICE = "devo:collector/service@2.0.0"

# What a call may use.
BUDGET = Record()
BUDGET.requests, BUDGET.milliseconds = 1000, 30_000
CALLS = {"set-up": [], "pre-pull": [], "pull": [BUDGET], "backfill": [BUDGET]}

component_file, folder = map(Path, sys.argv[1:])
content = component_file.read_bytes()
config = Config()
config.wasm_component_model = True
engine = Engine(config)
component = Component(engine, content)


def call(name):
    store = Store(engine)
    wasi = WasiConfig()
    wasi.stdout_file = str(folder / "stdout")
    wasi.inherit_stderr()
    store.set_wasi(wasi)
    store.set_wasi_http()
    linker = Linker(engine)
    linker.add_wasip2()
    linker.add_wasi_http()
    Imports(folder).add_to(linker)
    instance = linker.instantiate(store, component)
    service = instance.get_export_index(store, SERVICE)
    function = instance.get_func(store, instance.get_export_index(store, name, service))
    result = function(store, *CALLS[name])
    function.post_return(store)
    # A failure is a variant, a summary is a record, and a success of the other calls is nothing at all.
    if hasattr(result, "tag"):
        if result.tag == "ok":
            return {"ok": summary(result.payload)}
        failure = result.payload if result.tag == "err" else result
        return {"err": {"class": failure.tag, "code": failure.payload.code, "reason": failure.payload.reason}}
    return {"ok": summary(result)}


def summary(record):
    if record is None:
        return None
    names = {"requests": "requests", "received": "received", "duplicates": "duplicates", "sent": "sent"}
    hyphenated = {"deadLetters": "dead-letters", "upToDate": "up-to-date"}
    return {name: getattr(record, field) for name, field in (names | hyphenated).items()}


def answer(value):
    print(json.dumps(value), flush=True)


answer({"sha256": hashlib.sha256(content).hexdigest()})
for line in sys.stdin:
    answer(call(line.strip()))
