"""What only isolated machines keep apart: files, processes, memory, names, the way out."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runctl_jupyter.sandbox.hosts.base import Host, ScriptEnd

if TYPE_CHECKING:
    from tests.sandbox.hosts.conftest import Rack

pytestmark = pytest.mark.isolated


@pytest.fixture(scope="module")
def small(isolated: Rack) -> Host:
    """A running machine with 256 MiB of memory."""
    return isolated.boot(memory_mib=256)


def test_memory_beyond_the_type_kills_the_program_and_spares_the_machine(isolated: Rack, small: Host) -> None:
    greedy = isolated.run(small, "python3 -c \"b = bytearray(512 << 20); print('got it')\"")
    assert (greedy.end, greedy.exit_code, greedy.stdout) == (ScriptEnd.EXITED, 137, "")
    assert isolated.output(small, "python3 -c \"b = bytearray(64 << 20); print('fits')\"") == "fits"


def test_number_of_processes_is_limited(isolated: Rack, small: Host) -> None:
    group = isolated.output(small, "sed -n 's/^[0-9]*:pids:\\|^0:://p' /proc/self/cgroup | grep sbx-")
    limit = [path.read_text().strip() for path in Path("/sys/fs/cgroup").glob(f"**{group}/pids.max")]
    assert limit == ["4096"]


def test_files_of_the_surrounding_machine_are_hidden_or_copied(isolated: Rack, small: Host, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    mark = f"/etc/sandbox-test-{uuid.uuid4().hex}"
    assert isolated.run(small, f"cat {secret}").exit_code != 0
    assert isolated.output(small, f"ls -A /home; echo mine > {mark}; cat {mark}") == "mine"
    assert not Path(mark).exists()
    assert isolated.run(small, f"ls {isolated.state_dir}/hosts").exit_code != 0
    assert "credentials" not in isolated.output(small, "ls -A ~root/.aws")


def test_devices_are_few_and_work(isolated: Rack, small: Host) -> None:
    seen = set(isolated.output(small, "cd /dev; ls -d *; head -c 4 urandom | wc -c; echo x > null").split())
    assert {"null", "zero", "urandom", "tty", "shm", "pts", "4"} <= seen
    assert [name for name in seen if name.startswith(("sd", "vd", "nvme", "loop", "dm-", "mem", "kmsg"))] == []


def test_only_its_own_processes_are_seen(isolated: Rack, small: Host) -> None:
    pids = isolated.output(small, "ls -d /proc/[0-9]*").split()
    assert "/proc/1" in pids
    assert len(pids) < 8
    assert isolated.run(small, f"ls /proc/{os.getpid()}/cwd").exit_code != 0


def test_disk_has_the_size_of_the_root_volume(isolated: Rack, small: Host) -> None:
    size_kib = int(isolated.output(small, "df -k / | tail -1 | tr -s ' ' | cut -d' ' -f2"))
    assert 0.85 * small.spec.root_gib < size_kib / (1 << 20) <= small.spec.root_gib


def test_host_names_of_peers_resolve(isolated: Rack, small: Host) -> None:
    peer = isolated.boot()
    name = isolated.output(peer, "hostname")
    assert name == "ip-" + peer.private_ip.replace(".", "-")
    for spelling in (name, f"{name}.eu-central-1.compute.internal"):
        assert isolated.output(small, f"getent hosts {spelling}").split()[0] == peer.private_ip


def test_metadata_answers_at_the_address_of_every_machine(isolated: Rack, small: Host) -> None:
    text = "#!/usr/bin/env python3\nimport http.client\nc = http.client.HTTPConnection('169.254.169.254', timeout=5)\n"
    text += "c.request('GET', '/latest/meta-data/')\nprint(c.getresponse().status)"
    assert isolated.output(small, text) == "401"


def test_the_way_out_refuses_what_a_vpc_would_not_route(isolated: Rack, small: Host) -> None:
    text = """#!/usr/bin/env python3
import urllib.error, urllib.request as u
import os
os.environ.pop("no_proxy"), os.environ.pop("NO_PROXY")
opener = u.build_opener(u.ProxyHandler({"http": os.environ["HTTP_PROXY"]}))
try:
    print(opener.open("TARGET").status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
    for target in (isolated.endpoint_url, "http://169.254.169.254/latest/", "http://localhost:22/"):
        assert isolated.output(small, text.replace("TARGET", target)) == "403", target


def test_ports_of_the_surrounding_machine_are_out_of_reach(isolated: Rack, small: Host) -> None:
    gone = "#!/usr/bin/env python3\nimport socket\nprint(socket.socket().connect_ex(('127.0.0.1', 9)))"
    assert int(isolated.output(small, gone)) != 0
    routes = isolated.output(small, "tail -n +2 /proc/net/route | cut -f1,2")
    assert all(line.startswith("eth0") and not line.endswith("00000000") for line in routes.splitlines())


def test_the_outer_systemd_cannot_be_seen(isolated: Rack) -> None:
    host = isolated.boot()
    assert isolated.run(host, "ls /run/systemd /run/dbus").exit_code != 0
    assert isolated.run(host, "/usr/bin/systemd-run true || /bin/systemctl poweroff").exit_code != 0
    assert host.alive
