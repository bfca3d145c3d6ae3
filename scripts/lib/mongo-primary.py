"""Makes the MongoDB server on 127.0.0.1:<port> the primary of the one-node replica set rs0.

    mongo-primary.py <port> <pid> <seconds>

Waits at most <seconds>, gives up at once if the process <pid> ends, and exits 0 as soon as the
server accepts writes. With 0 seconds it only asks, and changes nothing.

Transactions need a replica set, and the server comes without a shell to set one up with. Two
commands are enough, so this speaks just that much of the wire protocol, with the standard library.
"""

import socket
import struct
import sys
import time

OP_MSG = 2013
NOT_YET_INITIATED = "isreplicaset"  # `hello` says so until the set has a configuration.


def encode(value):
    """One BSON document from a dict of text, int32, dict and list."""
    body = b""
    for name, item in value.items():
        key = name.encode() + b"\0"
        if isinstance(item, int):
            body += b"\x10" + key + struct.pack("<i", item)
        elif isinstance(item, str):
            text = item.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
        elif isinstance(item, list):
            body += b"\x04" + key + encode({str(i): entry for i, entry in enumerate(item)})
        else:
            body += b"\x03" + key + encode(item)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


# How many bytes a value of each BSON type takes, where that is fixed.
FIXED = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}


def decode(data):
    """The top-level numbers, booleans and texts of a BSON document; the rest becomes None."""
    found, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(b"\0", at + 1)
        name, at = data[at + 1 : end].decode(), end + 1
        if kind in FIXED:
            size = FIXED[kind]
        else:
            (size,) = struct.unpack_from("<i", data, at)
            size += {0x02: 4, 0x05: 5}.get(kind, 0)  # Text and binary leave their head out of it.
        raw, at = data[at : at + size], at + size
        formats = {0x01: "<d", 0x08: "<?", 0x10: "<i"}
        if kind in formats:
            (found[name],) = struct.unpack(formats[kind], raw)
        else:
            found[name] = raw[4:-1].decode() if kind == 0x02 else None
    return found


def receive(stream, size):
    """Exactly that many bytes; a socket may hand them over in pieces."""
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
    return data


def command(port, document):
    """Sends one command to the admin database and returns the reply."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        body = struct.pack("<i", 0) + b"\0" + encode({**document, "$db": "admin"})
        stream.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
        (size,) = struct.unpack("<i", receive(stream, 4))
        return decode(receive(stream, size - 4)[12 + 5 :])


def ended(pid):
    """Whether the process is gone; one that nobody has reaped yet has an empty command line."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return not file.read()
    except OSError:
        return True


def main(port, pid, seconds):
    deadline, last = time.monotonic() + seconds, "it was not asked"
    while True:
        try:
            hello = command(port, {"hello": 1})
            if hello.get("isWritablePrimary") and hello.get("setName") == "rs0":
                return None
            last = "it runs, but is not the primary of rs0"
            if seconds and NOT_YET_INITIATED in hello:
                # The name here is the one clients are sent to, so it is the address they can reach.
                members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                done = command(port, {"replSetInitiate": {"_id": "rs0", "members": members}})
                if not done.get("ok"):  # While it starts it may refuse; the next round asks again.
                    last = f"replSetInitiate: {done.get('errmsg')}"
        except (OSError, struct.error, ValueError, IndexError) as error:
            last = f"it does not answer: {error}"
        if ended(pid):
            return "the process has ended"
        if time.monotonic() >= deadline:
            return last
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
