"""Servers as processes: started, waited for, and ended together, by real ones."""

import subprocess
import sys
import time
from socket import socket
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from dss_ray.errors import StoreError, UsageError
from dss_ray.records.servers import Server, check_port, serving

HELPED = """
import subprocess, sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("helper", "w").write(str(helper.pid))
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


def server(code, port, **more):
    return Server("pages", [sys.executable, "-c", code, str(port)], "127.0.0.1", port, **more)


def alive(pid):
    """Whether a process runs: dead ones may wait as zombies for their adopter."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip() not in ("", "Z")


def test_a_server_answers_inside_and_is_gone_with_its_helpers_after(
    tmp_path, monkeypatch, free_port
):
    monkeypatch.chdir(tmp_path)
    pages = server(HELPED, free_port)
    with serving([pages]):
        assert urlopen(pages.address, timeout=5).status == 200
        helper = int((tmp_path / "helper").read_text())
        assert alive(helper)
    with pytest.raises(URLError):
        urlopen(pages.address, timeout=5)
    deadline = time.monotonic() + 10
    while alive(helper) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(helper)


def test_servers_end_where_one_fails(tmp_path, monkeypatch, free_port):
    monkeypatch.chdir(tmp_path)
    whole = server(HELPED, free_port)
    code = "import time; time.sleep(1); raise SystemExit('no such table')"
    with (
        pytest.raises(StoreError, match="pages ended with code 1: no such table"),
        serving([whole, server(code, free_port + 1)]),
    ):
        pass
    with pytest.raises(URLError):
        urlopen(whole.address, timeout=5)


def test_a_server_that_ends_by_itself_is_told(free_port):
    code = (
        "import sys, http.server as h, threading as t\n"
        "s = h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler)\n"
        "t.Timer(2, s.shutdown).start()\n"
        "s.serve_forever()\n"
        "print('out of paper')"
    )
    with serving([server(code, free_port)]) as running, pytest.raises(StoreError, match="paper"):
        running.watch()


def test_what_a_server_is_told_in_secret_is_in_its_environment_alone(free_port):
    code = "import os, sys; sys.exit(f'{sys.argv[1:]} {len(os.environ[\"SECRET\"])}')"
    told = server(code, free_port, environment={"SECRET": "s3cr3t"})
    with pytest.raises(StoreError, match=rf"\['{free_port}'\] 6"), serving([told]):
        pass


def test_a_port_that_is_taken_is_refused(free_port):
    with socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        told = f"port {free_port} of 127.0.0.1 cannot be used"
        with pytest.raises(UsageError, match=told):
            check_port(server("", free_port))


def test_an_address_of_another_machine_is_refused(free_port):
    with pytest.raises(UsageError, match=r"192\.0\.2\.1"):
        check_port(Server("pages", [], "192.0.2.1", free_port))
