"""Boot, stop, start, shutdown from inside, destroy, and a sandbox that crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from runctl_jupyter.sandbox.hosts.base import Host, HostServices, ScriptEnd, ShellScript
from runctl_jupyter.sandbox.hosts.isolated import IsolatedHostFactory
from runctl_jupyter.sandbox.hosts.plain import PlainHostFactory

if TYPE_CHECKING:
    from tests.sandbox.hosts.conftest import Rack


def test_boot_makes_a_machine_alive_and_twice_is_once(rack: Rack) -> None:
    host = rack.make()
    alive_before = host.alive
    host.boot()
    assert (alive_before, host.alive) == (False, True)
    address, marker = host.private_ip, rack.new_marker()
    rack.run(host, f"setsid sleep {marker} >/dev/null 2>&1 &")
    before = rack.process_with(marker)
    host.boot()
    assert host.alive
    assert host.private_ip == address
    assert rack.processes_with(marker) == [before]


def test_machine_that_is_off_runs_nothing(rack: Rack) -> None:
    host = rack.make()
    assert rack.run(host, "echo x").end is ScriptEnd.MACHINE_GONE
    host.power_off()
    assert not host.alive


def test_stop_kills_every_process_however_it_hid(rack: Rack) -> None:
    host = rack.boot()
    markers = [rack.new_marker() for _ in range(4)]
    child, session, scrubbed, held = markers
    rack.run(host, f"setsid sleep {session} >/dev/null 2>&1 & nohup sleep {child} >/dev/null 2>&1 &")
    # Double fork, new session, empty environment: nothing but its ancestry ties it to the machine.
    rack.run(host, f"env -i setsid sh -c 'env -i setsid /bin/sleep {scrubbed} & exit' >/dev/null 2>&1 </dev/null &")
    running = host.start_script(ShellScript("held", f"sleep {held}", 60))
    rack.wait_until(lambda: all(map(rack.processes_with, markers)))
    host.power_off()
    assert [marker for marker in markers if rack.processes_with(marker)] == []
    result = running.result()
    assert result.end is ScriptEnd.MACHINE_GONE
    assert rack.powered_off.empty()


def test_stop_keeps_the_disk_and_loses_memory_and_instance_store(rack: Rack) -> None:
    host = rack.boot(instance_store_gib=250)
    root = "${RUNCTL_ROOT:-/var/lib/runctl}"
    nvme = "/opt/dlami/nvme" if rack.mode == "isolated" else "$HOME/../opt/dlami/nvme"
    rack.output(host, f"echo kept > {root}/disk; echo x > {nvme}/gone; echo x > ${{TMPDIR:-/tmp}}/gone")
    address = host.private_ip
    host.power_off()
    host.boot()
    assert host.private_ip == address
    assert rack.output(host, f"cat {root}/disk; ls {nvme} ${{TMPDIR:-/tmp}} | grep gone || true") == "kept"


def test_start_after_stop_gives_new_processes_and_a_working_agent(rack: Rack) -> None:
    host = rack.boot()
    for turn in range(3):
        host.power_off()
        assert not host.alive
        host.boot()
        assert rack.output(host, f"echo turn {turn}") == f"turn {turn}"


@pytest.mark.parametrize("command", ["shutdown -h now", "poweroff", "halt", "/sbin/shutdown -P now"])
def test_shutdown_inside_ends_the_machine(rack: Rack, command: str) -> None:
    if rack.mode == "plain":
        command = command.removeprefix("/sbin/")
    host = rack.boot()
    marker = rack.new_marker()
    rack.run(host, f"setsid sleep {marker} >/dev/null 2>&1 &")
    running = host.start_script(ShellScript("off", f"{command}; sleep 60", 60))
    assert rack.powered_off.get(timeout=10) == host.spec.instance_id
    assert running.result().end is ScriptEnd.MACHINE_GONE
    assert not host.alive
    assert rack.processes_with(marker) == []
    host.boot()
    assert rack.output(host, "echo again") == "again"


@pytest.mark.parametrize("command", ["systemd-run --on-active=1s shutdown -h now", "systemctl poweroff"])
def test_the_systemd_of_the_outside_is_out_of_reach(rack: Rack, command: str) -> None:
    host = rack.boot()
    refused = rack.run(host, command)
    assert refused.exit_code == 1
    assert "systemd does not run on this sandbox machine" in refused.stderr
    assert host.alive


def test_shutdown_with_a_delay_can_be_cancelled(rack: Rack) -> None:
    host = rack.boot()
    assert rack.run(host, "shutdown -P +1").exit_code == 0
    assert rack.run(host, "shutdown -c").exit_code == 0
    refused = rack.run(host, "shutdown never")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "shutdown: cannot read time 'never'\nUse now, +minutes or hh:mm.\n",
    )
    assert host.alive


@pytest.mark.parametrize("command", ["reboot", "shutdown -r now"])
def test_a_reboot_from_inside_runs_what_is_to_run_at_each_boot(rack: Rack, command: str) -> None:
    host = rack.boot()
    marker = rack.new_marker()
    rack.run(host, f"setsid sleep {marker} >/dev/null 2>&1 &")
    lib = 'lib="$(dirname "${RUNCTL_ROOT:-/var/lib/runctl}")"; '
    rack.run(
        host,
        lib + 'boot="$lib/cloud/scripts/per-boot"; mkdir -p "$boot"; echo "#!/bin/sh" > "$boot/note"\n'
        'echo "echo ran >> $lib/boots" >> "$boot/note"; cp "$boot/note" "$boot/asleep"; chmod 755 "$boot/note"',
    )
    rack.run(host, command)
    assert rack.rebooted.get(timeout=10) == host.spec.instance_id
    assert not host.alive
    assert rack.processes_with(marker) == []
    assert rack.powered_off.empty()
    host.boot()
    rack.wait_until(lambda: rack.output(host, lib + 'cat "$lib/boots" 2>/dev/null || true') == "ran")


def test_death_of_the_first_process_ends_the_machine(rack: Rack) -> None:
    host = rack.boot()
    marker = rack.new_marker()
    rack.run(host, f"setsid sleep {marker} >/dev/null 2>&1 &")
    sleeper = rack.process_with(marker)
    first = sleeper.parent()
    assert first is not None
    first.kill()
    assert rack.powered_off.get(timeout=10) == host.spec.instance_id
    assert rack.processes_with(marker) == []
    assert not host.alive


def test_power_off_from_many_threads_at_once(rack: Rack) -> None:
    host = rack.boot()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: host.power_off(), range(8)))
    assert not host.alive
    assert rack.powered_off.empty()


def test_user_data_runs_once_and_its_children_survive(rack: Rack) -> None:
    marker = rack.new_marker()
    script = f"""#!/bin/sh
    echo first boot as $(id -u)
    echo x >> "${{RUNCTL_ROOT:-/var/lib/runctl}}/boots"
    setsid sleep {marker} &
    """
    host = rack.boot(user_data=textwrap.dedent(script).encode())
    rack.wait_until(lambda: rack.processes_with(marker))
    rack.wait_until(lambda: b"first boot as" in host.console_output())
    host.power_off()
    assert rack.processes_with(marker) == []
    host.boot()
    assert rack.output(host, 'cat "${RUNCTL_ROOT:-/var/lib/runctl}/boots"') == "x"
    assert rack.processes_with(marker) == []
    log = "/var/log/cloud-init-output.log" if rack.mode == "isolated" else "$HOME/../var/log/cloud-init-output.log"
    assert rack.output(host, f"cat {log}") == f"first boot as {os.geteuid()}"
    assert host.console_output().endswith(f"first boot as {os.geteuid()}\n".encode())


def test_user_data_in_another_language(rack: Rack) -> None:
    host = rack.boot(user_data=b"#!/usr/bin/env python3\nprint('sum', 2 + 3)\n")
    rack.wait_until(lambda: b"sum 5" in host.console_output())


def test_user_data_that_is_no_script_is_ignored_and_said(rack: Rack) -> None:
    host = rack.boot(user_data=b"#cloud-config\nruncmd: [touch /x]\n")
    assert b"does not start with #!" in host.console_output()


def test_destroy_leaves_nothing_and_can_be_repeated(rack: Rack) -> None:
    host = rack.boot()
    marker = rack.new_marker()
    rack.run(host, f"setsid sleep {marker} >/dev/null 2>&1 &")
    folder = rack.state_dir / "hosts" / host.spec.instance_id
    assert folder.is_dir()
    host.destroy()
    host.destroy()
    assert rack.processes_with(marker) == []
    assert not folder.exists()
    for place in ("/proc/self/mountinfo", "/proc/net/route"):
        assert host.spec.instance_id not in Path(place).read_text()
    assert list(Path("/sys/fs/cgroup").glob(f"**/{host.spec.instance_id}")) == []
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert [image for image in backing if host.spec.instance_id in image] == []


def test_boot_failure_is_one_line_and_leaves_nothing(rack: Rack) -> None:
    host = rack.make()
    (rack.state_dir / "hosts" / host.spec.instance_id).mkdir(exist_ok=True)
    blocked = rack.state_dir / "hosts" / host.spec.instance_id / ("root" if rack.mode == "plain" else "root.img")
    blocked.write_bytes(b"neither a folder nor a file system")
    with pytest.raises(Exception, match=r"\A[^\n]+\Z") as caught:
        host.boot()
    assert type(caught.value).__name__ == "HostError"
    assert not host.alive
    assert list(Path("/sys/fs/cgroup").glob(f"**/{host.spec.instance_id}")) == []


CRASHING_SANDBOX = """
import json, os, sys, time
from pathlib import Path
from runctl_jupyter.sandbox.hosts.base import HostServices, HostSpec, ShellScript
from runctl_jupyter.sandbox.hosts.isolated import IsolatedHostFactory
from runctl_jupyter.sandbox.hosts.plain import PlainHostFactory
mode, state_dir, marker, spec = sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
factory = {"plain": PlainHostFactory, "isolated": IsolatedHostFactory}[mode](state_dir)
factory.start()
services = HostServices(state_dir, {"default": "http://127.0.0.1:9"}, lambda: None, print)
host = factory.create(HostSpec(**spec), services)
host.boot()
text = f"echo kept > $RUNCTL_ROOT/var-disk; env -i setsid /bin/sleep {marker} >/dev/null 2>&1 &"
host.start_script(ShellScript("c", text, 60)).result()
print("ready", flush=True)
sys.stdin.read()
"""


def test_machines_of_a_crashed_sandbox_end_and_their_disks_are_found_again(rack: Rack, tmp_path: Path) -> None:
    marker = rack.new_marker()
    spec = rack.spec()
    values = {name: value for name, value in vars(spec).items() if isinstance(value, str | int)}
    line = [sys.executable, "-c", CRASHING_SANDBOX, rack.mode, str(tmp_path), marker, json.dumps(values)]
    sandbox = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"RUNCTL_ROOT": ""}
    )
    assert sandbox.stdout is not None
    assert sandbox.stdout.readline() == b"ready\n"
    rack.wait_until(lambda: rack.processes_with(marker))
    children = psutil.Process(sandbox.pid).children()
    assert children
    sandbox.send_signal(signal.SIGKILL)
    sandbox.communicate()
    rack.wait_until(lambda: not rack.processes_with(marker))
    rack.wait_until(lambda: not any(child.is_running() for child in children))
    factory = PlainHostFactory(tmp_path) if rack.mode == "plain" else IsolatedHostFactory(tmp_path)
    factory.start()
    services = HostServices(tmp_path, {"default": "http://127.0.0.1:9"}, lambda: None, rack.powered_off.put)
    host: Host = factory.create(spec, services)
    try:
        host.boot()
        assert rack.output(host, "cat $RUNCTL_ROOT/var-disk") == "kept"
    finally:
        host.destroy()
        factory.close()
    assert list(Path("/sys/fs/cgroup").glob(f"**/{spec.instance_id}")) == []
