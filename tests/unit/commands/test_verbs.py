"""Every verb and flag reaches the engine as the grammar says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runctl_jupyter.cli import TerminalDoor
from runctl_jupyter.commands import Launched, LogView, Outcome, Request, Watched, invoke
from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError
from runctl_jupyter.orchestration.storage.options import S3Options


def run(line: str, cell: str | None = None) -> Outcome:
    return invoke(line.split(), Request(TerminalDoor(), cell))


ANY_MACHINE = {"gpu": None, "spot": False, "fallback": None}
INSTANCE_LINES: list[tuple[str, tuple[str, tuple[Any, ...], dict[str, Any]]]] = [
    (
        "create m5.large",
        (
            "create",
            ("m5.large",),
            {
                **ANY_MACHINE, "name": None, "volume_size": None, "ttl": None, "idle_stop": None, "wait": False,
                "dry_run": False,
            },
        ),
    ),
    (
        "create m5.large --name dev --volume-size 50 --ttl 8h --wait --dry-run",
        (
            "create",
            ("m5.large",),
            {
                **ANY_MACHINE, "name": "dev", "volume_size": 50, "ttl": 28800.0, "idle_stop": None, "wait": True,
                "dry_run": True,
            },
        ),
    ),
    (
        "create --gpu A10G:1 --spot --fallback on-demand",
        (
            "create",
            (None,),
            {
                "gpu": "A10G:1", "spot": True, "fallback": "on-demand", "name": None, "volume_size": None, "ttl": None,
                "idle_stop": None, "wait": False, "dry_run": False,
            },
        ),
    ),
    ("processes dev", ("processes", ("dev",), {})),
    ("list", ("list", (), {"all": False})),
    ("list --all", ("list", (), {"all": True})),
    ("start dev", ("start", ("dev",), {})),
    ("stop dev --force", ("stop", ("dev",), {"wait": False, "force": True})),
    ("stop dev --wait", ("stop", ("dev",), {"wait": True, "force": False})),
    ("terminate dev --force --wait", ("terminate", ("dev",), {"wait": True, "force": True})),
    ("terminate dev prod", ("terminate_all", (("dev", "prod"),), {"wait": False, "force": False})),
    ("protect dev", ("protect", ("dev",), {"off": False})),
    ("protect dev --off", ("protect", ("dev",), {"off": True})),
    ("show i-0123456789abcdef0", ("get", ("i-0123456789abcdef0",), {})),
]  # fmt: skip


@pytest.mark.parametrize(("line", "call"), INSTANCE_LINES, ids=[line for line, _ in INSTANCE_LINES])
def test_instances(asked: dict[str, Any], line: str, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    outcome = run(line)
    assert asked["instances"].calls == [call]
    assert outcome.value is asked["instances"].answer


WHERE: dict[str, Any] = {"regions": (), "all_regions": False, "kinds": (), "owner": None}
CLEANUP: dict[str, Any] = {**WHERE, "all_owners": False, "older_than": None, "orphans_only": True, "dry_run": True}
RESOURCE_LINES: list[tuple[str, tuple[str, dict[str, Any]]]] = [
    ("resources list", ("list", WHERE)),
    (
        "resources list --region eu-west-1 --region us-east-1 --kind volume --owner me",
        ("list", {**WHERE, "regions": ("eu-west-1", "us-east-1"), "kinds": ("volume",), "owner": "me"}),
    ),
    ("resources summary --all-regions", ("summary", {**WHERE, "all_regions": True})),
    ("resources cleanup", ("cleanup", CLEANUP)),
    (
        "resources cleanup --all-owners --older-than 2d --unused --yes",
        (
            "cleanup",
            {**CLEANUP, "all_owners": True, "older_than": 172800.0, "orphans_only": False, "dry_run": False},
        ),
    ),
]


@pytest.mark.parametrize(("line", "call"), RESOURCE_LINES, ids=[line for line, _ in RESOURCE_LINES])
def test_resources(asked: dict[str, Any], line: str, call: tuple[str, dict[str, Any]]) -> None:
    run(line)
    verb, facts = call
    assert asked["resources"].calls == [(verb, (), facts)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("new m5.large", "create m5.large"),
        ("spawn m5.large --name dev", "create m5.large --name dev"),
        ("aws create m5.large --root-volume-size 50", "create m5.large --volume-size 50"),
        ("aws stop dev", "stop dev"),
        ("aws pause dev", "stop dev"),
        ("aws resume dev", "start dev"),
        ("aws destroy dev --force", "terminate dev --force"),
        ("aws status i-0123456789abcdef0", "show i-0123456789abcdef0"),
    ],
)
def test_old_names_mean_the_new_ones(asked: dict[str, Any], old: str, new: str) -> None:
    run(old)
    run(new)
    first, second = asked["instances"].calls
    assert first == second


def test_train_passes_every_flag(asked: dict[str, Any]) -> None:
    outcome = run(
        "train fit.py --on dev --name digits --env A=1 --env B=x=y --param lr=0.1 --requirements r.txt "
        "--project-root . --checkpoint-dir ckpt --ttl 30m --timeout 90s --max-cost 1.5 --keep --wait "
        "--data-s3 s3://b/in --output-s3 s3://b/out --resume digits --idle-stop 10m -o m,n -o o "
        "-- --epochs 3 --json -- --on other"
    )
    (verb, args, kwargs) = asked["jobs"].calls[0]
    assert (verb, args) == ("train", ("fit.py",))
    assert kwargs == {
        "arguments": ("--epochs", "3", "--json", "--", "--on", "other"), "cell": None, "on": "dev",
        "instance_type": None, **ANY_MACHINE,
        "name": "digits", "env": {"A": "1", "B": "x=y"}, "params": {"lr": "0.1"}, "requirements": "r.txt",
        "checkpoint_dir": "ckpt", "ttl": 1800.0, "timeout": 90.0, "max_cost": 1.5, "keep": True, "project_root": ".",
        "data_s3": "s3://b/in", "output_s3": "s3://b/out", "resume": "digits", "inputs": {}, "outputs": ["m", "n", "o"],
        "run_key": None, "origin": None, "idle_stop": 600.0, "dry_run": False,
    }  # fmt: skip
    assert outcome == Outcome(Launched(asked["jobs"].answer, wait=True), as_json=False)


def test_train_takes_a_cell_and_its_arguments(asked: dict[str, Any]) -> None:
    run("train --instance-type m5.large -- --epochs 3", cell="print(1)\n")
    (_, args, kwargs) = asked["jobs"].calls[0]
    assert args == (None,)
    assert (kwargs["cell"], kwargs["arguments"]) == ("print(1)\n", ("--epochs", "3"))


@pytest.mark.parametrize("verb", ["train fit.py", "resume digits"])
def test_what_kind_of_machine(asked: dict[str, Any], verb: str) -> None:
    run(f"{verb} --gpu 24GB --spot --fallback on-demand")
    run(f"{verb} --instance-type g5.xlarge,g6.xlarge")
    (_, _, by_gpu), (_, _, by_type) = (call for call in asked["jobs"].calls if call[0] in verb)
    assert (by_gpu["gpu"], by_gpu["spot"], by_gpu["fallback"]) == ("24GB", True, "on-demand")
    assert (by_type["instance_type"], by_type["gpu"], by_type["spot"]) == ("g5.xlarge,g6.xlarge", None, False)


def test_train_dry_run_returns_the_plan(asked: dict[str, Any]) -> None:
    assert run("train fit.py --dry-run").value is asked["jobs"].answer


def test_old_train_named_the_machine_first(asked: dict[str, Any]) -> None:
    run("aws train i-0123456789abcdef0 fit.py -- --epochs 3")
    (_, args, kwargs) = asked["jobs"].calls[0]
    assert (args, kwargs["on"], kwargs["arguments"]) == (("fit.py",), "i-0123456789abcdef0", ("--epochs", "3"))


def test_flags_of_transfers(asked: dict[str, Any]) -> None:
    run("s3 upload f s3://b/p -r -n --include *.pt --include *.json --exclude tmp/ --sse aws:kms --sse-kms-key-id K")
    run("s3 download s3://b/p d --no-verify --request-payer --endpoint-url http://h:1")
    (_, _, up), (_, _, down) = asked["storage"].calls
    assert (up["no_clobber"], up["include"], up["exclude"]) == (True, ("*.pt", "*.json"), ("tmp/",))
    assert up["options"] == S3Options(sse="aws:kms", sse_kms_key_id="K")
    assert down["verify"] is False
    assert down["options"] == S3Options(request_payer=True, endpoint_url="http://h:1")

    run("s3 sync d s3://b/p --delete --dry-run --exclude *.log")
    verb, args, flags = asked["storage"].calls[-1]
    assert (verb, args) == ("sync", ("d", "s3://b/p"))
    assert (flags["delete"], flags["dry_run"], flags["exclude"]) == (True, True, ("*.log",))


def test_storage_and_checkpoints(asked: dict[str, Any]) -> None:
    for line in (
        "s3 list s3://b/p", "s3 list s3://b/p -r", "s3 upload f s3://b/p", "s3 download s3://b/p d --recursive",
        "checkpoints list digits", "checkpoints list",
        "checkpoints list ./ckpt --metric acc --mode max --limit 3 --all",
    ):  # fmt: skip
        run(line)
    said = [(verb, args, {k: v for k, v in flags.items() if v}) for verb, args, flags in asked["storage"].calls]
    nothing = {"options": S3Options()}
    assert said == [
        ("scan", ("s3://b/p",), nothing),
        ("scan", ("s3://b/p",), {"recursive": True, **nothing}),
        ("upload", ("f", "s3://b/p"), nothing),
        ("download", ("s3://b/p", "d"), {"recursive": True, "verify": True, **nothing}),
    ]
    usual: dict[str, Any] = {"complete": True, "limit": None, "metric": None, "mode": None}
    assert asked["checkpoints"].calls == [
        ("list", ("digits",), usual),
        ("list", (None,), usual),
        ("list", ("./ckpt",), {"complete": None, "limit": 3, "metric": "acc", "mode": "max"}),
    ]


def test_prune_shows_first_and_cleanup_is_its_old_name(asked: dict[str, Any]) -> None:
    run("checkpoints prune digits --keep-last 3 --keep-best 2 --metric acc --mode max --keep-every 10")
    run("checkpoints prune ./ckpt --keep-last 1 --yes")
    run("s3 cleanup s3://b/p --keep-last 5")
    run("s3 cleanup s3://b/p --keep-last 5 --dry-run")
    nothing: dict[str, Any] = {"keep_best": None, "metric": None, "mode": None, "keep_every": None}
    rules = {"keep_last": 3, "keep_best": 2, "metric": "acc", "mode": "max", "keep_every": 10}
    assert asked["checkpoints"].calls == [
        ("prune", ("digits",), {**rules, "dry_run": True}),
        ("prune", ("./ckpt",), {**nothing, "keep_last": 1, "dry_run": False}),
        ("prune", ("s3://b/p",), {"keep_last": 5, "dry_run": False}),
        ("prune", ("s3://b/p",), {"keep_last": 5, "dry_run": True}),
    ]
    for line, words in (
        ("s3 cleanup s3://b/p", "--keep-last"),
        ("s3 cleanup ./here --keep-last 1", "not an S3 address"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            run(line)
    assert len(asked["checkpoints"].calls) == 4


def test_jobs_and_views_of_them(write_job: Any) -> None:
    job_id = write_job()
    assert [job.id for job in run("jobs").value] == [job_id]
    for reference in (job_id, "7k2f", "digits"):
        assert run(f"show {reference}").value.job.id == job_id
    view = run("logs digits --follow --tail 5 --raw").value
    assert isinstance(view, LogView)
    assert (view.job.id, view.follow, view.tail, view.raw) == (job_id, True, 5, True)
    watched = run("wait digits --timeout 2d").value
    assert isinstance(watched, Watched)
    assert (watched.wait, watched.log, watched.timeout) == (True, False, 172800.0)
    attached = run("attach digits").value
    assert (attached.wait, attached.log) == (False, True)


def test_wait_for_an_instance(asked: dict[str, Any]) -> None:
    run("wait i-0123456789abcdef0 --timeout 90s")
    assert asked["instances"].calls[-1] == ("wait", ("i-0123456789abcdef0",), {"timeout": 90.0})


@pytest.mark.parametrize(
    ("line", "what", "to_resolve"),
    [
        ("lits", "There is no verb 'lits' under runctl.", "Did you mean list?"),
        ("quux", "There is no verb 'quux' under runctl.", "See: runctl --help"),
        ("s3 lst", "There is no verb 'lst' under runctl s3.", "Did you mean list?"),
        ("help trian", "There is no verb 'trian' under runctl.", "Did you mean train?"),
        ("list --al", "runctl list has no flag --al.", "Did you mean --all?"),
        ("train fit.py --wiat", "runctl train has no flag --wiat.", "Did you mean --wait?"),
        ("train fit.py --epochs 3", "runctl train has no flag --epochs.", "See: runctl train --help"),
        ("--taget aws list", "runctl has no flag --taget.", "Did you mean --target?"),
        (
            "create",
            "runctl create needs a type, or the GPU it shall have.",
            "runctl create m5.large, or runctl create --gpu A10G:1",
        ),
        ("create m5.large --ttl soon", "'soon' is not a duration.", "Write a number and a unit: 90s, 30m, 8h or 2d."),
        ("create m5.large --ttl 0h", "'0h' is not a duration.", "Write a number and a unit: 90s, 30m, 8h or 2d."),
        (
            "train fit.py --param lr",
            "runctl train: Invalid value for '--param': 'lr' is not KEY=VALUE.",
            "See: runctl train --help",
        ),
        (
            "train",
            "runctl train needs a script.",
            "runctl train SCRIPT, or put %%runctl train over a notebook cell.",
        ),
    ],
)
def test_a_wrong_line_says_what_and_what_to_do(asked: dict[str, Any], line: str, what: str, to_resolve: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run(line)
    assert (caught.value.what, caught.value.to_resolve) == (what, to_resolve)
    assert caught.value.exit_status == 2
    assert all(recorder.calls == [] for recorder in asked.values())


def test_a_cell_and_a_script_are_one_too_many(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="two scripts"):
        run("train fit.py", cell="print(1)")
    assert asked["jobs"].calls == []


def test_a_name_that_nothing_has(local: Any) -> None:
    with pytest.raises(RunctlError, match="no job and no instance 'nothing'"):
        run("show nothing")


@pytest.mark.parametrize("line", ["list --json", "create m5.large --json", "show i-0123456789abcdef0 --json"])
def test_json_is_noted(asked: dict[str, Any], line: str) -> None:
    assert run(line).as_json


def test_help_explains_each_verb() -> None:
    from runctl_jupyter.commands import runctl

    for name in runctl.commands:
        assert f"runctl {name}" in run(f"help {name}").value.text


def test_bare_line_says_where_you_are(local: Any) -> None:
    text = run("").value.text
    assert "target local" in text
    assert text.count("\n  runctl ") == 5
    assert json.dumps(run("").value.to_dict())


def test_cost_of_this_computer(write_job: Any) -> None:
    write_job()
    outcome = run("cost --by day --since 2d --json")
    said = outcome.value.to_dict()
    assert outcome.as_json
    assert (said["by"], said["cost_usd"], said["rows"], said["estimate"]) == ("day", 0, [], True)
    assert run("cost").value.by == "job"
    with pytest.raises(InvalidRequest, match="colour"):
        run("cost --by colour")
    with pytest.raises(InvalidRequest, match="neither a duration nor a time"):
        run("cost --since soon")
