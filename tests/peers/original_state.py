"""Writes a state as the original collector leaves it behind: a pickle of a dict, made by Python itself.

usage: original_state.py state FILE PROTOCOL text|datetime STATE
       original_state.py command FILE PROTOCOL COMMAND
STATE is the dict as JSON; with `datetime` its times are datetimes with a time zone, with `text` they stay text.
`command` writes what nobody should ever load: a state that runs a shell's command when Python reads it.
"""

import datetime
import json
import os
import pickle
import sys


class Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def times(state):
    for key in ("initial_start_time_in_utc", "last_event_time_in_utc"):
        if state.get(key) is not None:
            state[key] = datetime.datetime.fromisoformat(state[key].replace("Z", "+00:00"))
    return state


what, file, protocol, *arguments = sys.argv[1:]
if what == "command":
    content = {"last_event_time_in_utc": "2022-01-01T00:00:00Z", "last_ids": [Command(*arguments)]}
else:
    form, text = arguments
    content = json.loads(text)
    content = times(content) if form == "datetime" else content
with open(file, "wb") as output:
    pickle.dump(content, output, int(protocol))
