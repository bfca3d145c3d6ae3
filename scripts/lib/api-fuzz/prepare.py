"""Gives the fuzzer something to find: a funded wallet, a melt, a funding, and what names them.

Arguments: the API's URL, a token's secret, a mint's invoices to pay. Prints schemathesis' settings.
"""

import json
import sys
import time
import urllib.request

url, secret, *invoices = sys.argv[1:]
NPUB = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
DEADLINE = time.monotonic() + 30


def ask(method, path, body=None):
    """The status and the document of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.load(response)


wallet = f"/api/wallet/{NPUB}"
_, funding = ask("POST", f"{wallet}/mint", {"amount": 5000})
while not ask("GET", funding["location"])[1].get("success"):
    if time.monotonic() > DEADLINE:
        sys.exit("the wallet was not funded in 30 s")
    time.sleep(0.1)
first, *rest = invoices
status, melt = ask("POST", f"{wallet}/melt", {"invoice": first, "commandId": "first"})
if status != 200:
    sys.exit(f"the melt was answered {status}: {melt}")

dictionaries = {
    "npubs": [NPUB],
    "ids": [melt["transactionId"], funding["transactionId"]],
    "invoices": [first, *rest],
    "names": ["first", "second"],
    "events": [f"{melt['transactionId']}:000003"],
    "waits": [0, 1],
    "amounts": [1, 21],
}
# Most requests name what is there, so that they get further than to the first check.
bindings = {
    "path.npub": "npubs",
    "path.id": "ids",
    "body.invoice": "invoices",
    "body.commandId": "names",
    "body.amount": "amounts",
    "body.wait": "waits",
    "header.Last-Event-ID": "events",
}
for name, values in dictionaries.items():
    print(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n")
print("[parameters]")
for place, name in bindings.items():
    print(f'"{place}" = {{ dictionary = "{name}", probability = 0.7 }}')
