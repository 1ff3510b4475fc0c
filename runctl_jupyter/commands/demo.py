"""`demo`: the whole way without a browser: launch, train on real data, follow, list, price, end."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.commands.results import Detached, Story, require_success

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job, LaunchPlan, Runctl

INSTANCE_TYPE = "m5.large"
SCRIPT = Path(__file__).with_name("demo_digits.py")
NOTEBOOK = "01_quickstart.ipynb"


@click.command(epilog="Example: runctl demo --epochs 20")
@click.option("--epochs", type=click.IntRange(min=8), default=10, show_default=True, help="How long to train.")
@click.option("--keep", is_flag=True, help="Keep the machine afterwards.")
@pass_request
def demo(request: Request, epochs: int, keep: bool) -> Story:
    """Train on handwritten digits in the sandbox."""
    # Not what is configured: a demo must not bill anyone who did not say so on this very line.
    choice = dataclasses.replace(request.choice, target=request.choice.target or "sandbox")
    return Demo(request.door.runctl(choice), request.door.prompt, epochs, keep)


class Demo(Story):
    """The demo; iterating runs it.

    Raises
    ------
    JobFailed
        The training failed.
    Detached
        The user left; the job goes on.
    """

    def __init__(self, rc: Runctl, prompt: str, epochs: int, keep: bool) -> None:
        self._rc = rc
        self._prompt = prompt
        self._epochs = epochs
        self._keep = keep

    def __iter__(self) -> Iterator[str | bytes]:
        """Run it and tell what happens."""
        from runctl_jupyter.orchestration.units import rate_text

        yield f"target {self._rc.settings.target}: training a classifier on 1,797 handwritten digits"
        with tempfile.TemporaryDirectory(prefix="runctl-demo-") as folder:
            shutil.copyfile(SCRIPT, Path(folder, "digits.py"))
            plan = self._plan(Path(folder))
            if plan is not None:
                yield f"machine: {plan.instance_type} in {plan.region}, {rate_text(plan.price_per_hour)}"
            job = cast("Job", self._train(Path(folder), dry_run=False))
            try:
                yield f"job {job.name} ({job.id}) launched; its log:\n"
                yield from job.logs(follow=True)
                job.launched()  # says why, when there was no machine to be had
                job.wait()
                yield f"\njob {job.name} ({job.id}) {job.state}"
                require_success(job, self._prompt)
                yield from self._account(job, plan)
                yield from self._machine_after(job)
            except KeyboardInterrupt:
                raise Detached(job, self._prompt) from None
        yield from self._what_next(job)

    def _plan(self, folder: Path) -> LaunchPlan | None:
        """Return what will be launched; on this computer that is nothing."""
        if self._rc.settings.target == "local":
            return None
        return cast("LaunchPlan", self._train(folder, dry_run=True))

    def _train(self, folder: Path, *, dry_run: bool) -> Job | LaunchPlan:
        return self._rc.jobs.train(
            str(folder / "digits.py"),
            arguments=("--epochs", str(self._epochs)),
            instance_type=None if self._rc.settings.target == "local" else INSTANCE_TYPE,
            name="demo-digits",
            keep=self._keep,
            project_root=str(folder),
            dry_run=dry_run,
        )

    def _account(self, job: Job, plan: LaunchPlan | None) -> Iterator[str]:
        from runctl_jupyter.orchestration.units import money_text, rate_text

        yield f"\nCheckpoints\n{job.checkpoints()!r}\n"
        if plan is not None:
            rate = rate_text(plan.price_per_hour)
            yield f"cost: {money_text(job.cost_usd)} at the list price of {plan.instance_type}, {rate}"
            yield f"      price from: {plan.price_source}"
        if self._rc.settings.target == "sandbox":
            yield "      in the sandbox nobody is billed"

    def _machine_after(self, job: Job) -> Iterator[str]:
        if job.instance_id is None:
            return
        if self._keep:
            yield f"machine {job.instance_id} was kept; end it: {self._prompt} terminate {job.instance_id}"
            return
        gone = self._rc.instances.wait(job.instance_id, until="terminated")
        yield f"machine {gone.id} is {gone.state}; it ended itself"

    def _what_next(self, job: Job) -> Iterator[str]:
        yield f"\nthe log again, from anywhere: {self._prompt} logs {job.id}"
        notebook = quickstart_notebook()
        if notebook is not None:
            yield "the same in a notebook:       pip install jupyterlab"
            yield f"                              cp {notebook} . && jupyter lab {NOTEBOOK}"


def quickstart_notebook() -> Path | None:
    """Return where the quickstart notebook lies: in the installed package, or in the checkout it runs from."""
    places = (Path(__file__).with_name(NOTEBOOK), Path(__file__).parents[2] / "notebooks" / NOTEBOOK)
    return next((place for place in places if place.is_file()), None)
