"""Jobs: `train`, `jobs`, `logs`, `attach`, `cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from runctl_jupyter.commands.moments import MOMENT
from runctl_jupyter.commands.parameters import (
    DURATION,
    INSTANCE,
    INSTANCE_TYPE,
    JOB,
    KEY_VALUE,
    NAMES,
    S3_URI,
    json_option,
    machine_options,
)
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.commands.results import Launched, LogView, Watched
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from datetime import datetime

    from runctl_jupyter.orchestration import Job, LaunchPlan, Listing

_SCRIPT_ARGUMENTS = "runctl.script_arguments"


class ScriptCommand(click.Command):
    """A command whose words after ``--`` belong to a script, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the script's own words aside."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_SCRIPT_ARGUMENTS] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show where the script's words go."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS]"]


@click.command(
    cls=ScriptCommand,
    epilog="Example: runctl train fit.py --on dev --param lr=0.01 --wait -- --epochs 20",
)
@click.argument("script", required=False, type=click.Path())
@click.option("--on", metavar="ID", type=INSTANCE, help="Run on this instance; without it, one is launched and ended.")
@click.option("--instance-type", metavar="TYPE", type=INSTANCE_TYPE, help="What to launch for this job; or TYPE,TYPE.")
@machine_options
@click.option("--name", metavar="N", help="A name to say instead of the id.")
@click.option("--env", type=KEY_VALUE, multiple=True, metavar="K=V", help="Environment variable; repeatable.")
@click.option(
    "--param", type=KEY_VALUE, multiple=True, metavar="K=V", help="RUNCTL_PARAM_K for the script; repeatable."
)
@click.option("--requirements", type=click.Path(), metavar="FILE", help="Dependencies, if the script names none.")
@click.option("--project-root", type=click.Path(), metavar="DIR", help="Folder to sync; the working directory there.")
@click.option("--checkpoint-dir", metavar="DIR", help="Where the script saves, in the project.")
@click.option(
    "--data-s3", metavar="URI", type=S3_URI, help="Object or prefix for RUNCTL_DATA_DIR; kept on the machine."
)
@click.option(
    "--output-s3", metavar="URI", type=S3_URI, help="Where RUNCTL_OUTPUT_DIR goes; the run record by default."
)
@click.option(
    "--resume",
    metavar="CKPT",
    default="latest",
    type=JOB,
    help="Go on from a job's newest checkpoint, an s3:// address or a path; latest (default), none: of next attempts.",
)
@click.option("-i", "inputs", type=NAMES, multiple=True, metavar="NAMES", help="Variables the cell finds defined.")
@click.option("-o", "outputs", type=NAMES, multiple=True, metavar="NAMES", help="Variables of the cell to bring back.")
@click.option("--as", "bind_as", metavar="NAME", help="Variable that becomes the job.")
@click.option("--again", is_flag=True, help="Launch although the very same run has not ended yet.")
@click.option("--ttl", type=DURATION, metavar="D", help="End the job after this time, all included.")
@click.option("--timeout", type=DURATION, metavar="D", help="End the script after this time.")
@click.option("--idle-stop", type=DURATION, metavar="D", help="End a job that has done nothing for this time.")
@click.option("--max-cost", type=float, metavar="USD", help="End the job when it has cost this much.")
@click.option("--keep", is_flag=True, help="Keep the machine that is launched for this job.")
@click.option("--wait", is_flag=True, help="Show the log until the end; fail when the job fails.")
@click.option("--dry-run", is_flag=True, help="Show what would be launched and its price; launch nothing.")
@json_option
@pass_request
@click.pass_context
def train(
    ctx: click.Context,
    request: Request,
    *,
    script: str | None,
    on: str | None,
    instance_type: str | None,
    gpu: str | None,
    spot: bool,
    fallback: str | None,
    name: str | None,
    env: tuple[tuple[str, str], ...],
    param: tuple[tuple[str, str], ...],
    requirements: str | None,
    project_root: str | None,
    checkpoint_dir: str | None,
    data_s3: str | None,
    output_s3: str | None,
    resume: str,
    inputs: tuple[tuple[str, ...], ...],
    outputs: tuple[tuple[str, ...], ...],
    bind_as: str | None,
    again: bool,
    ttl: float | None,
    timeout: float | None,
    idle_stop: float | None,
    max_cost: float | None,
    keep: bool,
    wait: bool,
    dry_run: bool,
) -> Launched | LaunchPlan:
    """Run SCRIPT, or a cell's body, on a machine.

    Returns at once; the job goes on whatever becomes of this kernel or terminal.
    """
    if script is None and request.cell is None:
        raise InvalidRequest(
            f"{request.door.prompt} train needs a script.",
            f"{request.door.prompt} train SCRIPT, or put %%runctl train over a notebook cell.",
        )
    if script is not None and request.cell is not None:
        raise InvalidRequest(
            f"There are two scripts: {script} and the cell.",
            f"Say %runctl train {script} with one %, or leave {script} out. The script's own words go after --.",
        )
    if bind_as is not None and not bind_as.isidentifier():
        raise InvalidRequest(f"{bind_as!r} cannot be the name of a variable.", "Use letters, digits and _.")
    jobs = request.runctl().jobs
    run_key = request.run_key(script)
    if run_key is not None and not again and not dry_run:
        running = request.launching_run(run_key) or jobs.running(run_key)
        if running is not None:
            return Launched(running, wait, bind_as, note=_still_running(running, request.door.prompt))
    job = jobs.train(
        script,
        arguments=ctx.meta[_SCRIPT_ARGUMENTS],
        cell=request.cell,
        on=on,
        instance_type=instance_type,
        gpu=gpu,
        spot=spot,
        fallback=fallback,
        name=name,
        env=dict(env),
        params=dict(param),
        requirements=requirements,
        checkpoint_dir=checkpoint_dir,
        data_s3=data_s3,
        output_s3=output_s3,
        resume=resume,
        inputs=request.variables(name for names in inputs for name in names),
        outputs=[name for names in outputs for name in names],
        run_key=run_key,
        origin=request.origin(),
        ttl=ttl,
        timeout=timeout,
        idle_stop=idle_stop,
        max_cost=max_cost,
        keep=keep,
        project_root=project_root,
        dry_run=dry_run,
    )
    if dry_run:
        return cast("LaunchPlan", job)
    launched = cast("Job", job)
    request.door.launching.append(launched)
    return Launched(launched, wait, bind_as)


def _still_running(job: Job, prompt: str) -> str:
    return (
        f"This very run goes on as job {job.name} ({job.id}), so nothing was launched. "
        f"Add --again to launch it a second time, or end it: {prompt} cancel {job.id}"
    )


@click.command()
@click.argument("job", metavar="JOB", type=JOB)
@click.option("--from", "checkpoint", metavar="CKPT", help="Name or s3:// address of a checkpoint; none begins anew.")
@click.option("--on", metavar="ID", type=INSTANCE, help="Run on this instance; by default as before.")
@click.option("--instance-type", metavar="TYPE", type=INSTANCE_TYPE, help="What to launch for it.")
@machine_options
@click.option("--wait", is_flag=True, help="Show the log until the end; fail when the job fails.")
@json_option
@pass_request
def resume(
    request: Request,
    *,
    job: str,
    checkpoint: str | None,
    on: str | None,
    instance_type: str | None,
    gpu: str | None,
    spot: bool,
    fallback: str | None,
    wait: bool,
) -> Launched:
    """Go on with an ended job, from its newest checkpoint: its next attempt."""
    found = request.job(job)
    going = request.runctl().jobs.resume(
        found.id, checkpoint=checkpoint, on=on, instance_type=instance_type, gpu=gpu, spot=spot, fallback=fallback
    )
    request.door.launching.append(going)
    return Launched(going, wait)


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, newest first.")
@json_option
@pass_request
def jobs(request: Request, limit: int) -> Listing[Job]:
    """List jobs, newest first, whoever launched them."""
    return request.runctl().jobs.list(limit=limit)


@click.command()
@click.argument("job", metavar="JOB", type=JOB)
@click.option("--follow", "-f", is_flag=True, help="Stay until the job's end.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--since", type=MOMENT, metavar="D|TIME", help="Only from then on: 10m (ago), or an ISO time.")
@click.option("--start", type=int, default=0, metavar="BYTES", help="Only from this byte on; below 0 from the end.")
@click.option("--attempt", type=int, metavar="N", help="Only this attempt of a job that was resumed.")
@click.option("--raw", is_flag=True, help="Exactly the bytes the script printed.")
@pass_request
def logs(
    request: Request,
    *,
    job: str,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    start: int,
    attempt: int | None,
    raw: bool,
) -> LogView:
    """Show what a job printed."""
    return LogView(request.job(job), follow, tail, raw, since, start, attempt)


@click.command()
@click.argument("job", metavar="JOB", type=JOB)
@pass_request
def attach(request: Request, job: str) -> Watched:
    """Look on at a job; leaving changes nothing for it."""
    return Watched(request.job(job), wait=False)


@click.command()
@click.argument("job", metavar="JOB", type=JOB)
@json_option
@pass_request
def cancel(request: Request, job: str) -> Job:
    """End a job: SIGTERM, time to save, then the end."""
    return request.job(job).cancel(wait=True)
