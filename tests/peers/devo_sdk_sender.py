"""Sends messages with Devo's own Python sender, for a comparison of what stands on the wire.

usage: devo_sdk_sender.py HOST PORT CHAIN CERT KEY MESSAGES plain|zip
MESSAGES is a file of JSON, one [date, hostname, tag, message] a line.
"""

import json
import sys

from devo.sender import Sender, SenderConfigSSL

host, port, chain, cert, key, messages, form = sys.argv[1:]
sender = Sender(SenderConfigSSL(address=(host, int(port)), chain=chain, cert=cert, key=key))
with open(messages, encoding="utf-8") as lines:
    for line in lines:
        date, hostname, tag, message = json.loads(line)
        # Without `date` the sender writes its constant "Jan  1 00:00:00", and Devo stamps the arrival.
        options = {} if date is None else {"date": date}
        if form == "plain":
            sender.send(tag=tag, msg=message, hostname=hostname, **options)
        else:
            # Only bytes can be compressed.
            options = {name: text.encode() for name, text in options.items()}
            sender.send(tag=tag.encode(), msg=message.encode(), hostname=hostname.encode(), zip=True, **options)
sender.flush_buffer()
sender.close()
