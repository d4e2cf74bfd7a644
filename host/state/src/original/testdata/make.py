#!/usr/bin/env python3
"""Makes the pickles beside this file, with nothing but Python: `./make.py` (they were made with Python 3.11).

state-<protocol>.pickle and dates-<protocol>.pickle are what `pickle.dump` writes for the original collector's state;
the others are what nobody should ever load with Python.
"""

import datetime
import os
import pathlib
import pickle

HERE = pathlib.Path(__file__).parent

STATE = {
    "initial_start_time_in_utc": "2022-01-01T00:00:00Z",
    "last_event_time_in_utc": "2022-01-02T03:04:05.678Z",
    "last_ids": ["1a2b3c", "\u00e9\\\n\u20ac\U0001f600", 7, -1, 70000, 2**40],
    "@persistence_version": 1,
}

DATES = {
    "initial_start_time_in_utc": datetime.datetime(2022, 1, 1),
    "last_event_time_in_utc": datetime.datetime(
        2022, 1, 2, 8, 34, 5, 678000, datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    ),
    "last_ids": ("1a2b3c",),
    "@persistence_version": 1,
    "reset_persistence_auth": True,
}
DATES["seen_at"] = DATES["initial_start_time_in_utc"].replace(tzinfo=datetime.timezone.utc)


class Command:
    def __reduce__(self):
        return os.system, ("touch executed",)


def laughs(levels):
    """A list of ten of a list of ten of ...: a few hundred bytes that stand for 10**levels texts."""
    value = "ha" * 10
    for _ in range(levels):
        value = [value] * 10
    return value


def endless():
    value = []
    value.append(value)
    return value


def write(name, content):
    (HERE / name).write_bytes(content)


for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    write(f"state-{protocol}.pickle", pickle.dumps(STATE, protocol))
    write(f"dates-{protocol}.pickle", pickle.dumps(DATES, protocol))
write("command.pickle", pickle.dumps({**STATE, "last_ids": [Command()]}, 4))
write("command-0.pickle", pickle.dumps({**STATE, "last_ids": [Command()]}, 0))
write("laughs.pickle", pickle.dumps({**STATE, "last_ids": laughs(12)}, 4))
write("endless.pickle", pickle.dumps({**STATE, "last_ids": endless()}, 4))
