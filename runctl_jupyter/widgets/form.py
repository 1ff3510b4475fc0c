"""A form that launches a script: what it has chosen stands below as the line that does the same in a cell."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from runctl_jupyter.orchestration import Job
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.units import duration_text
from runctl_jupyter.panels.line_door import LineDoor, launch
from runctl_jupyter.panels.troubles import explained
from runctl_jupyter.widgets.job_card import JobCardWidget
from runctl_jupyter.widgets.kernel_panels import panels_of
from runctl_jupyter.widgets.knobs import Knob, Range, aligned, find_knobs, with_ranges
from runctl_jupyter.widgets.launch_line import LaunchChoice
from runctl_jupyter.widgets.launch_options import Machine, bill_text, machines_of, scripts_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl

_WIDE = {"width": "auto", "max_width": "720px"}
_LABELS = {"description_width": "120px"}


def launch_form(
    rc: Runctl,
    script: str | None = None,
    *,
    params: Mapping[str, Range] | None = None,
    launching: list[Job] | None = None,
) -> LaunchForm:
    """Return a form that launches a script of the project.

    Parameters
    ----------
    rc
        The engine that launches.
    script
        What is chosen at first; any of the project's by default.
    params
        Ranges of parameters, ``{"lr": (1e-5, 1e-2), "epochs": (1, 100, 1)}``, beside or in place of those that are
        found in the script.
    launching
        Jobs whose launch is under way here, shared with the notebook's door.

    Raises
    ------
    InvalidRequest
        A range is none.
    """
    return LaunchForm(rc, script, params or {}, [] if launching is None else launching)


class LaunchForm(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no annotations
    """See `launch_form`."""

    def __init__(self, rc: Runctl, script: str | None, ranges: Mapping[str, Range], launching: list[Job]) -> None:
        self._rc, self._ranges, self._launching = rc, dict(ranges), launching
        with_ranges([], self._ranges)  # a range that is none is the caller's mistake, not the form's
        self._busy = threading.Lock()
        self._knobs: list[tuple[Knob, Any]] = []
        self._machines: dict[str, Machine] = {}
        self._script = self._script_picker(script)
        self._machine = self._machine_picker()
        self._spot = ipywidgets.Checkbox(
            value=False, description="Spot: cheaper, and EC2 may take it back", indent=False, layout=_WIDE
        )
        self._spot.layout.display = "none" if rc.settings.target == "local" else None
        self._name = _text("Name", "the script's, without .py")
        self._ttl = _text("Ends after", duration_text(rc.settings.launch.ttl))
        self._max_cost = _text("Costs at most", "USD, for the whole job")
        self._sliders = ipywidgets.VBox(layout={"max_height": "320px", "overflow": "auto"})
        self._note, self._line, self._bill, self._trouble = (ipywidgets.HTML(layout=_WIDE) for _ in range(4))
        self._button = ipywidgets.Button(description="Launch", button_style="primary")
        self._cards = ipywidgets.VBox()
        super().__init__(
            [
                self._script,
                self._machine,
                self._spot,
                self._name,
                self._ttl,
                self._max_cost,
                self._sliders,
                self._note,
                self._line,
                self._bill,
                self._button,
                self._trouble,
                self._cards,
            ]
        )
        for field in (self._machine, self._spot, self._name, self._ttl, self._max_cost):
            field.observe(self._tell, "value")
        self._script.observe(self._read_script, "value")
        self._button.on_click(self._launch)
        self._read_script(None)

    @property
    def choice(self) -> LaunchChoice:
        """What is chosen now."""
        said = [(knob, knob.text(slider.value)) for knob, slider in self._knobs]
        return LaunchChoice(
            script=self._script.value or "",
            instance_type=self._machine.value or "",
            spot=self._spot.value,
            name=self._name.value.strip(),
            ttl=self._ttl.value.strip(),
            max_cost=self._max_cost.value.strip().removeprefix("$"),
            params=[(knob.name, text) for knob, text in said if knob.kind == "param"],
            arguments=[(knob.name, text) for knob, text in said if knob.kind == "argument"],
        )

    def _script_picker(self, script: str | None) -> ipywidgets.Dropdown:
        try:
            scripts = scripts_of(self._rc)
        except RunctlError:
            # Launching says what is wrong with the project; a script that was named can be chosen all the same.
            scripts = []
        if script is not None and script not in scripts:
            scripts.insert(0, script)
        chosen = script or (scripts[0] if scripts else None)
        return ipywidgets.Dropdown(options=scripts, value=chosen, description="Script", layout=_WIDE, style=_LABELS)

    def _machine_picker(self) -> ipywidgets.Dropdown:
        settings = self._rc.settings
        if settings.target == "local":
            options, value = [("this computer", "")], ""
        else:
            machines, _ = machines_of(panels_of(self._rc, self._launching))
            self._machines = {machine.name: machine for machine in machines}
            value = settings.launch.instance_type
            self._machines.setdefault(value, Machine(value, value, None))
            options = [(machine.label, machine.name) for machine in self._machines.values()]
        return ipywidgets.Dropdown(options=options, value=value, description="Machine", layout=_WIDE, style=_LABELS)

    def _read_script(self, _: object) -> None:
        """Offer the parameters of the script that is chosen now."""
        note = ""
        knobs: list[Knob] = []
        if self._script.value is None:
            note = f"There is no Python script in {self._rc.cwd.name}. Write one, or put %%runctl train over a cell."
        elif self._script.value.endswith(".py"):
            try:
                path = self._rc.cwd / self._script.value
                knobs = find_knobs(path.read_text(encoding="utf-8", errors="replace"))
            except OSError as error:
                note = f"{self._script.value} cannot be read: {error.strerror}."
            except RunctlError as error:
                note = f"{error.what} {error.to_resolve}"
        self._note.value = escape(note)
        self._knobs = [(knob, _slider(knob)) for knob in with_ranges(knobs, self._ranges)]
        for _knob, slider in self._knobs:
            slider.observe(self._tell, "value")
        old = self._sliders.children
        self._sliders.children = [slider for _, slider in self._knobs]
        for slider in old:
            slider.close()
        self._button.disabled = self._script.value is None
        self._tell(None)

    def _tell(self, _: object) -> None:
        """Show the line and what it may cost."""
        choice = self.choice
        if not choice.script:
            self._line.value = self._bill.value = ""
            return
        # One click marks the whole line, to be copied.
        self._line.value = (
            '<pre style="white-space:pre-wrap;user-select:all;margin:8px 0;line-height:18px" '
            f'aria-label="the same as a line of a cell">{escape(choice.magic())}</pre>'
        )
        if self._rc.settings.target == "local":
            self._bill.value = "Runs on this computer; nothing to pay."
            return
        price = self._machines[choice.instance_type].price_per_hour
        bill = bill_text(price, choice.ttl, self._rc.settings.launch.ttl, choice.max_cost)
        self._bill.value = escape(f"{bill} Spot costs less than that." if choice.spot and price is not None else bill)

    def _launch(self, _: object) -> None:
        if not self._busy.acquire(blocking=False):
            return
        self._button.disabled = True
        self._trouble.value = ""
        going = None
        try:
            # Exactly what stands there, word by word.
            job = launch(self.choice.line(), LineDoor(self._rc, self._launching))
            if isinstance(job, Job):
                going = job.launching
                card = JobCardWidget(job, self._rc, panels=panels_of(self._rc, self._launching))
                self._cards.children = [card, *self._cards.children]
        except RunctlError as error:
            self._say(error)
        finally:
            if going is None:
                self._ready()
            else:
                going.add_done_callback(self._handed_over)

    def _handed_over(self, going: Future[None]) -> None:
        error = going.exception()
        if error is not None:
            self._say(error)
        self._ready()

    def _say(self, error: BaseException) -> None:
        said = explained(error)
        self._trouble.value = (
            '<div role="alert" style="line-height:20px;border-left:2px solid var(--jp-error-color1,#c62828);'
            f'padding:4px 12px">{escape(said["what"])}<br>{escape(said["to_resolve"])}</div>'
        )

    def _ready(self) -> None:
        self._button.disabled = self._script.value is None
        self._busy.release()


def _text(title: str, hint: str) -> ipywidgets.Text:
    return ipywidgets.Text(description=title, placeholder=hint, layout=_WIDE, style=_LABELS)


def _slider(knob: Knob) -> Any:
    look: dict[str, Any] = {
        "description": knob.name,
        "tooltip": f"{'--param ' if knob.kind == 'param' else ''}{knob.name}",
        "layout": _WIDE,
        "style": _LABELS,
    }
    if knob.whole:
        return ipywidgets.IntSlider(
            value=int(knob.value), min=round(knob.low), max=round(knob.high), step=round(knob.step or 1), **look
        )
    if knob.step is None:
        low, high, here = math.log10(knob.low), math.log10(knob.high), math.log10(knob.value)
        return ipywidgets.FloatLogSlider(
            value=knob.value,
            base=10,
            min=low,
            max=high,
            step=aligned(0.01, low, here),
            readout_format=".3g",
            **look,
        )
    return ipywidgets.FloatSlider(
        value=knob.value, min=knob.low, max=knob.high, step=knob.step, readout_format=".6~g", **look
    )
