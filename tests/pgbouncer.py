"""PgBouncer as Debian has it (1.18) before a server of `pg_pair`: TLS in front, SCRAM on both sides."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.local.ports import free_ports
from tests.pg_pair import PASSWORD, PgPair
from tests.tls_server import missing


@contextmanager
def bouncing(pair: PgPair, mode: str, *, size: int, user: str = "scan") -> Iterator[int]:
    """The port of a pooler that shares `size` server connections in this mode."""
    program = shutil.which("pgbouncer")
    if program is None:
        missing("Debian's pgbouncer")
    port, folder = free_ports(1)[0], pair.folder
    users, settings = folder / f"users-{port}.txt", folder / f"bouncer-{port}.ini"
    users.write_text(f'"{user}" "{PASSWORD}"\n')
    settings.write_text(
        f"""[databases]
* = host=127.0.0.1 port={pair.ports["a"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 100
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.crt
client_tls_key_file = {folder}/server.key
ignore_startup_parameters = extra_float_digits
logfile = {folder}/bouncer-{port}.log
"""
    )
    if pair.account:
        for path in (users, settings):
            os.chown(path, pair.account["user"], pair.account["group"])
    with Path(os.devnull).open("wb") as nothing:
        process = subprocess.Popen([program, "-q", settings], stdout=nothing, stderr=nothing, **pair.account)
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (folder / f"bouncer-{port}.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
