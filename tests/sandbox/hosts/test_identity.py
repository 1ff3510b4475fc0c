"""Each machine has its own identity: metadata, role, environment, address, commands."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runctl_jupyter.sandbox.hosts.base import Host, ShellScript

if TYPE_CHECKING:
    from tests.sandbox.hosts.conftest import Rack

ASK = """#!/usr/bin/env python3
import json, os, urllib.request
base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254/")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def ask(path, method="GET", **headers):
    request = urllib.request.Request(base + path, method=method, headers=headers)
    with opener.open(request) as answer:
        return answer.read().decode()
token = ask("latest/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
def get(path):
    return ask("latest/" + path, **{"X-aws-ec2-metadata-token": token})
"""


def test_metadata_inside_names_this_machine(rack: Rack) -> None:
    one, two = rack.boot(), rack.boot()
    text = ASK + "print(get('meta-data/instance-id'), get('meta-data/local-ipv4'), get('meta-data/placement/region'))"
    for host in (one, two):
        assert rack.output(host, text).split() == [host.spec.instance_id, host.private_ip, "eu-central-1"]
    assert one.private_ip != two.private_ip


def test_boto3_inside_finds_role_and_region(rack: Rack, machine: Host) -> None:
    text = """#!/usr/bin/env python3
import boto3
session = boto3.Session()
credentials = session.get_credentials()
s3 = session.client("s3")
print(credentials.method, credentials.access_key, credentials.token, session.region_name, s3.meta.endpoint_url)
"""
    seen = rack.output(machine, text).split()
    assert seen == ["iam-role", "ASIAEXAMPLE", "session-token", "eu-central-1", rack.endpoint_url]


def test_endpoint_of_the_sandbox_works_inside_under_the_same_url(rack: Rack, machine: Host) -> None:
    text = "#!/usr/bin/env python3\nimport os, urllib.request as u\n"
    text += "print(u.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/bucket/key').read().decode())"
    assert rack.output(machine, text) == "hello /bucket/key"


def test_spot_notice_is_seen_inside_and_gone_after_a_stop(rack: Rack) -> None:
    host = rack.boot(lifecycle="spot")
    probe = ASK + "try:\n    print(get('meta-data/spot/instance-action'))\nexcept OSError as e:\n    print(e.code)"
    assert rack.output(host, probe) == "404"
    host.announce_spot_interruption("stop", "2026-01-01T00:02:00Z")
    assert json.loads(rack.output(host, probe)) == {"action": "stop", "time": "2026-01-01T00:02:00Z"}
    host.power_off()
    host.announce_spot_interruption("stop", "2026-01-01T00:02:00Z")
    host.boot()
    assert rack.output(host, probe) == "404"


def test_rebalance_recommendation_is_seen_inside(rack: Rack) -> None:
    host = rack.boot(lifecycle="spot")
    host.announce_rebalance("2026-01-01T00:00:00Z")
    text = ASK + "print(get('meta-data/events/recommendations/rebalance'))"
    assert json.loads(rack.output(host, text)) == {"noticeTime": "2026-01-01T00:00:00Z"}


SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIALEAK",
    "AWS_SECRET_ACCESS_KEY": "leak",
    "AWS_PROFILE": "leak",
    "AWS_EC2_METADATA_DISABLED": "true",
    "JUPYTER_TOKEN": "leak",
    "PYTHONPATH": "/leak",
    "GITHUB_TOKEN": "leak",
}


def test_nothing_of_the_users_environment_reaches_a_machine(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    host = rack.boot()
    text = (
        "env; echo ---; tr '\\0' '\\n' </proc/$PPID/environ; cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n' || true"
    )
    if rack.mode == "plain":
        text = "env; echo ---; tr '\\0' '\\n' </proc/$PPID/environ"
    seen = rack.run(host, text).stdout
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert names & set(SECRETS) == set()
    assert "leak" not in seen.lower()
    assert "PIP_INDEX_URL" in names
    allowed = ("AWS_ENDPOINT_URL", "AWS_CONFIG", "AWS_SHARED_C", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_SSM_")
    assert [name for name in names if name.startswith("AWS_") and not name.startswith(allowed)] == []


def test_path_begins_with_the_commands_of_the_machine(rack: Rack, machine: Host) -> None:
    own = rack.output(machine, "command -v shutdown")
    assert "sandbox: stands in for the real shutdown" in rack.output(machine, f"cat {own}")
    assert (
        rack.output(machine, "command -v python3 >/dev/null && python3 -c 'import sys; print(sys.version_info[0])'")
        == "3"
    )


def test_machine_without_gpus_has_no_command_for_them(rack: Rack, machine: Host) -> None:
    assert "sandbox" not in rack.run(machine, "cat $(command -v nvidia-smi) </dev/null").stdout


def test_gpus_of_the_instance_type_are_listed_and_marked(rack: Rack) -> None:
    host = rack.boot(gpus=2, gpu_name="NVIDIA A10G", gpu_memory_mib=24576)
    listed = rack.output(host, "nvidia-smi -L").splitlines()
    assert [line.partition(" (UUID")[0] for line in listed] == [
        "GPU 0: NVIDIA A10G (sandbox)",
        "GPU 1: NVIDIA A10G (sandbox)",
    ]
    query = "nvidia-smi --query-gpu=index,memory.total,utilization.gpu,fan.speed --format=csv,noheader,nounits"
    assert rack.output(host, query).splitlines() == ["0, 24576, 0, [N/A]", "1, 24576, 0, [N/A]"]


def test_peers_reach_each_other_by_private_address(rack: Rack) -> None:
    one, two = rack.boot(), rack.boot()
    ready = "${TMPDIR:-/tmp}/port"
    listen = f"""#!/bin/sh
    exec python3 -c "
import os, socket
server = socket.create_server(('{one.private_ip}', 0))
open(os.environ.get('TMPDIR', '/tmp') + '/port.new', 'w').write(str(server.getsockname()[1]))
os.rename(os.environ.get('TMPDIR', '/tmp') + '/port.new', os.environ.get('TMPDIR', '/tmp') + '/port')
connection, peer = server.accept()
print(connection.recv(100).decode())
"
"""
    running = one.start_script(ShellScript("listen", listen, 30))
    port = rack.output(one, f"until [ -e {ready} ]; do sleep 0.02; done; cat {ready}")
    send = f"import socket; s = socket.create_connection(('{one.private_ip}', {port})); s.sendall(b'good morning')"
    rack.output(two, f'python3 -c "{send}"')
    assert running.result().stdout == "good morning\n"


def test_machine_is_off_so_its_metadata_is_too(rack: Rack) -> None:
    if rack.mode == "isolated":
        return
    host = rack.boot()
    url = rack.output(host, "echo $AWS_EC2_METADATA_SERVICE_ENDPOINT")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url)
    host.power_off()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(url)


def test_home_and_user(rack: Rack, machine: Host) -> None:
    seen = rack.output(machine, 'echo "$(id -u) ${HOME:-unset}"').split()
    if rack.mode == "isolated":
        assert seen == ["0", "unset"]
    else:
        assert seen[0] == str(os.geteuid())
        assert Path(seen[1]).is_relative_to(rack.state_dir.resolve())
