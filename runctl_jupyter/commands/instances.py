"""Life of a machine: `create`, `list`, `start`, `stop`, `terminate`, `protect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import DURATION, INSTANCE, INSTANCE_TYPE, json_option, machine_options
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Instance, LaunchPlan, Listing
    from runctl_jupyter.orchestration.instances.processes import MachineProcesses


@click.command(epilog="Example: runctl create m5.large --name dev --ttl 8h --idle-stop 30m --wait")
@click.argument("instance_type", metavar="TYPE", type=INSTANCE_TYPE, required=False)
@machine_options
@click.option("--name", metavar="N", help="A name to say instead of the id.")
@click.option("--volume-size", type=int, metavar="G", help="Size of its disk in GiB.")
@click.option("--ttl", type=DURATION, metavar="D", help="It powers itself off after this time.")
@click.option(
    "--idle-stop", type=DURATION, metavar="D", help="It powers itself off when nothing has used it for this time."
)
@click.option("--wait", is_flag=True, help="Return when it can take a job.")
@click.option("--dry-run", is_flag=True, help="Show what would be launched and its price; launch nothing.")
@json_option
@pass_request
def create(
    request: Request,
    *,
    instance_type: str | None,
    gpu: str | None,
    spot: bool,
    fallback: str | None,
    name: str | None,
    volume_size: int | None,
    ttl: float | None,
    idle_stop: float | None,
    wait: bool,
    dry_run: bool,
) -> Instance | LaunchPlan:
    """Launch an instance of TYPE that stays (also: new, spawn).

    TYPE may be several with commas, in order of preference: the first that can be had is launched.
    """
    if instance_type is None and gpu is None:
        raise InvalidRequest(
            f"{request.door.prompt} create needs a type, or the GPU it shall have.",
            f"{request.door.prompt} create m5.large, or {request.door.prompt} create --gpu A10G:1",
        )
    return request.runctl().instances.create(
        instance_type,
        gpu=gpu,
        spot=spot,
        fallback=fallback,
        name=name,
        volume_size=volume_size,
        ttl=ttl,
        idle_stop=idle_stop,
        wait=wait,
        dry_run=dry_run,
    )


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Terminated ones too, while EC2 remembers them.")
@json_option
@pass_request
def list_instances(request: Request, everything: bool) -> Listing[Instance]:
    """List your instances with state and cost."""
    return request.runctl().instances.list(all=everything)


@click.command()
@click.argument("instance", metavar="ID", type=INSTANCE)
@json_option
@pass_request
def start(request: Request, instance: str) -> Instance:
    """Start a stopped instance and wait until it takes jobs."""
    return request.runctl().instances.start(instance)


@click.command()
@click.argument("instance", metavar="ID", type=INSTANCE)
@click.option("--force", is_flag=True, help="Without waiting for jobs to save.")
@click.option("--wait", is_flag=True, help="Return when it has stopped.")
@json_option
@pass_request
def stop(request: Request, instance: str, force: bool, wait: bool) -> Instance:
    """Stop an instance; its disk stays (and is billed).

    Jobs on it save first and end as interrupted: resume goes on with them.
    """
    return request.runctl().instances.stop(instance, wait=wait, force=force)


@click.command()
@click.argument("instance", metavar="ID...", type=INSTANCE, nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Even while a job runs on it.")
@click.option("--wait", is_flag=True, help="Return when it is gone.")
@json_option
@pass_request
def terminate(request: Request, instance: tuple[str, ...], force: bool, wait: bool) -> Instance | Listing[Instance]:
    """End an instance for good, its disk too; of several all or, when one may not be ended, none."""
    instances = request.runctl().instances
    if len(instance) == 1:
        return instances.terminate(instance[0], wait=wait, force=force)
    return instances.terminate_all(instance, wait=wait, force=force)


@click.command()
@click.argument("instance", metavar="ID", type=INSTANCE)
@json_option
@pass_request
def processes(request: Request, instance: str) -> MachineProcesses:
    """Show what runs on an instance, with its CPU, memory, disks and GPUs."""
    return request.runctl().instances.processes(instance)


@click.command()
@click.argument("instance", metavar="ID", type=INSTANCE)
@click.option("--off", is_flag=True, help="Allow it again.")
@json_option
@pass_request
def protect(request: Request, instance: str, off: bool) -> Instance:
    """Let terminate refuse to end an instance, also with --force.

    Its own time limit and idle stop still power it off.
    """
    return request.runctl().instances.protect(instance, off=off)
