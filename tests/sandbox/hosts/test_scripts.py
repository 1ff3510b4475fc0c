"""A script runs on a machine as the SSM agent would run it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from runctl_jupyter.sandbox.hosts.agent import OUTPUT_KEPT
from runctl_jupyter.sandbox.hosts.base import Host, ScriptEnd, ShellScript

if TYPE_CHECKING:
    from tests.sandbox.hosts.conftest import Rack


def test_exit_code_and_both_streams(rack: Rack, machine: Host) -> None:
    result = rack.run(machine, "echo out; echo err >&2; exit 3")
    assert (result.end, result.exit_code) == (ScriptEnd.EXITED, 3)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_no_set_e_the_last_command_decides(rack: Rack, machine: Host) -> None:
    assert rack.output(machine, "false; echo went on") == "went on"


def test_shebang_is_honoured(rack: Rack, machine: Host) -> None:
    assert rack.output(machine, "#!/usr/bin/env python3\nprint(6 * 7)\n") == "42"


def test_script_lies_in_the_agent_folder_and_only_its_owner_may_use_it(rack: Rack, machine: Host) -> None:
    script = ShellScript("command-path", 'stat -c "%a %n" "$0"', 10)
    mode, path = machine.start_script(script).result().stdout.split()
    assert mode == "700"
    folder = f"/var/lib/amazon/ssm/{machine.spec.instance_id}/document/orchestration/command-path"
    assert path.endswith(f"{folder}/awsrunShellScript/0.awsrunShellScript/_script.sh")


def test_agent_environment(rack: Rack, machine: Host) -> None:
    script = ShellScript("command-env", 'echo "$AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME $SSM_COMMAND_ID $SBX_ID"', 10)
    seen = machine.start_script(script).result().stdout.split()
    assert seen == [machine.spec.instance_id, "eu-central-1", "command-env", machine.spec.instance_id]


def test_standard_input_is_empty(rack: Rack, machine: Host) -> None:
    assert rack.output(machine, "cat; echo end") == "end"


def test_working_directory(rack: Rack, machine: Host) -> None:
    assert rack.run(machine, "pwd", working_directory="/usr/share").stdout == "/usr/share\n"
    missing = rack.run(machine, "pwd", working_directory="/no/such/folder")
    assert (missing.end, missing.exit_code, missing.stdout) == (ScriptEnd.EXITED, 1, "")
    assert "/no/such/folder" in missing.stderr


def test_bytes_that_are_not_text_do_not_break_the_result(rack: Rack, machine: Host) -> None:
    assert rack.run(machine, r"printf 'a\377b'").stdout == "a\ufffdb"


def test_timeout_kills_the_group_and_spares_a_new_session(rack: Rack, machine: Host) -> None:
    spared, killed = rack.new_marker(), rack.new_marker()
    text = f"setsid sleep {spared} >/dev/null 2>&1 & sleep {killed} & echo began; wait"
    result = rack.run(machine, text, timeout_s=0.5)
    assert (result.end, result.exit_code, result.stdout) == (ScriptEnd.TIMED_OUT, 137, "began\n")
    assert 0.5 <= result.elapsed_s < 5
    assert rack.processes_with(killed) == []
    survivor = rack.process_with(spared)
    survivor.kill()


def test_cancel_kills_without_asking(rack: Rack, machine: Host) -> None:
    marker = rack.new_marker()
    text = f"trap 'echo never' TERM; echo began; sleep {marker}"
    running = machine.start_script(ShellScript("command-cancel", text, 60))
    rack.wait_until(lambda: rack.processes_with(marker))
    running.cancel()
    result = running.result()
    assert (result.end, result.exit_code, result.stdout) == (ScriptEnd.CANCELLED, 137, "began\n")
    assert rack.processes_with(marker) == []
    running.cancel()
    assert running.result() == result


def test_result_waits_until_the_pipes_are_closed(rack: Rack, machine: Host) -> None:
    text = """go=${TMPDIR:-/tmp}/go-$$; (until [ -e $go ]; do sleep 0.05; done; echo late) & (sleep 0.3; : > $go) &"""
    result = rack.run(machine, text)
    assert result.elapsed_s >= 0.3
    assert result.stdout == "late\n"


def test_a_job_that_closes_its_pipes_does_not_hold_the_result(rack: Rack, machine: Host) -> None:
    marker = rack.new_marker()
    result = rack.run(machine, f"setsid sleep {marker} </dev/null >/dev/null 2>&1 &")
    assert (result.end, result.exit_code) == (ScriptEnd.EXITED, 0)
    rack.process_with(marker).kill()


def test_timeout_reaches_a_background_job_that_holds_the_pipe(rack: Rack, machine: Host) -> None:
    marker = rack.new_marker()
    result = rack.run(machine, f"nohup sleep {marker} & exit 0", timeout_s=0.5)
    assert (result.end, result.exit_code) == (ScriptEnd.TIMED_OUT, 137)
    assert rack.processes_with(marker) == []


def test_scripts_run_side_by_side(rack: Rack, machine: Host) -> None:
    with ThreadPoolExecutor(5) as pool:
        began = time.monotonic()
        results = list(pool.map(lambda n: rack.run(machine, f"sleep 0.5; echo {n}"), range(5)))
        took = time.monotonic() - began
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(5)]
    assert took < 2.0


def test_flood_of_output_is_kept_up_to_the_limit(rack: Rack, machine: Host) -> None:
    result = rack.run(machine, f"head -c {OUTPUT_KEPT + 1000} /dev/zero | tr '\\0' x; echo end >&2")
    assert len(result.stdout) == OUTPUT_KEPT
    assert result.stderr == "end\n"


def test_large_script_arrives_whole(rack: Rack, machine: Host) -> None:
    text = "#" + "x" * 300_000 + "\necho done é\n"
    assert rack.output(machine, text) == "done é"


def test_orphans_are_reaped(rack: Rack, machine: Host) -> None:
    text = """
    for i in 1 2 3 4 5; do (setsid sh -c 'echo $$; exit 7' &); done | {
        while read -r pid; do until [ ! -e /proc/$pid ]; do sleep 0.01; done; echo reaped; done
    }
    """
    assert rack.output(machine, text).split() == ["reaped"] * 5
