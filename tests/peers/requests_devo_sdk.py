"""Carries alerts as a collector of the original's kind does: requests reads the pages, Devo's own SDK sends the events.

usage: requests_devo_sdk.py BASE_URL TOKEN LIMIT PORT CERTS

Each page is parsed, sorted by `incident_time`, deduplicated by `id`, and sent event by event to a Devo receiver on PORT.
"""

import datetime
import json
import sys
import time

import requests
from devo.sender import Sender, SenderConfigSSL

base_url, token, limit, port, certs = sys.argv[1:]
sender = Sender(
    SenderConfigSSL(
        address=("localhost", int(port)),
        chain=f"{certs}/chain.crt",
        cert=f"{certs}/example-domain.crt",
        key=f"{certs}/example-domain.key",
    )
)
session = requests.Session()
session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/json"})
pulling_id = str(int(time.time() * 1000))
delivered = set()
page, pages = 1, 1
while page <= pages:
    # Given here: a session's own setting gives way to the environment's.
    answer = session.get(
        f"{base_url}/api/historic/alerts", params={"limit": limit, "page": page}, timeout=30, verify=f"{certs}/chain.crt"
    )
    answer.raise_for_status()
    content = answer.json()
    pages = content["total_page"]
    for alert in sorted(content["data"], key=lambda alert: alert["incident_time"]):
        key = (type(alert["id"]), alert["id"])
        if key in delivered:
            continue
        delivered.add(key)
        alert["@devo_pulling_id"] = pulling_id
        moment = datetime.datetime.fromisoformat(alert["incident_time"].replace("Z", "+00:00"))
        date = moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:23]
        sender.send(tag="drp.cloudsek.xvigil.alerts", msg=json.dumps(alert), hostname="host", date=date)
    page += 1
sender.flush_buffer()
sender.close()
