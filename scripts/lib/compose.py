"""Checks a composed document: argument 1, as `docker compose config` prints it."""

import re
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    document = yaml.safe_load(file)

wrong = []
services = document["services"]
for name, service in services.items():
    for port in service.get("ports", []):
        # Version 1 prints text or a mapping, version 2 always a mapping.
        text = port if isinstance(port, str) else f"{port.get('host_ip')}:{port['published']}"
        if not text.startswith("127.0.0.1:"):
            wrong.append(f"{name} publishes {text}: only 127.0.0.1 is for everybody")
    stays = service.get("restart") == "unless-stopped"
    if stays and "healthcheck" not in service:
        wrong.append(f"{name} has no health check")
    for other in service.get("depends_on", {}):
        if other not in services:
            wrong.append(f"{name} depends on {other}, which is not there")
    for key, value in (service.get("environment") or {}).items():
        if re.search("PASSWORD$", key) and not re.fullmatch("p[0-9a-f]{48}", str(value)):
            wrong.append(f"{name}: {key} is not one that compose-secrets made")
for required in ["mongo", "nats", "mint", "meltd"]:
    if required not in services:
        wrong.append(f"there is no service {required}")

if wrong:
    sys.exit("\n".join(wrong))
print(f"docker-compose.yml: {len(services)} services")
