"""How a look at a machine's processes looks."""

from __future__ import annotations

from html import escape

from runctl_jupyter.display.listings import listing_html
from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import DIM, bundle, facts_html, facts_text
from runctl_jupyter.orchestration.instances.processes import MachineDisk, MachineGpu, MachineProcesses
from runctl_jupyter.orchestration.units import size_text


def processes_text(look: MachineProcesses) -> str:
    """Return it as text."""
    return "\n".join([facts_text(_title(look), _facts(look)), "", repr(look.listing()), *_below(look)])


def processes_bundle(look: MachineProcesses) -> dict[str, str]:
    """Return it as text and HTML for a notebook, where what commands say of accounts and buckets is masked."""
    facts = [(name, mask(text)) for name, text in _facts(look)]
    below = "".join(f'<div style="{DIM}">{escape(mask(line))}</div>' for line in _below(look))
    html = f"<div>{facts_html(_title(look), facts)}{listing_html(look.listing())}{below}</div>"
    text = "\n".join([facts_text(_title(look), facts), "", mask(repr(look.listing())), *map(mask, _below(look))])
    return bundle(text, html)


def _title(look: MachineProcesses) -> str:
    name = f"{look.name} ({look.instance_id})" if look.name else look.instance_id
    return f"{name}, {look.instance_type}"


def _facts(look: MachineProcesses) -> list[tuple[str, str]]:
    cores = f" of {100 * look.cpus} %" if look.cpus else ""
    facts = [] if look.cpu_percent is None else [("CPU", f"{look.cpu_percent:.0f} %{cores}")]
    facts.append(("load", " ".join(f"{each:.2f}" for each in look.load)))
    facts.append(("memory", _share(look.memory_used, look.memory_total)))
    facts += [("disk", _disk(each)) for each in look.disks]
    facts += [(f"GPU {each.index}", _gpu(each)) for each in look.gpus]
    return facts


def _disk(disk: MachineDisk) -> str:
    return f"{disk.mount}  {_share(disk.used_bytes, disk.size_bytes)}"


def _gpu(gpu: MachineGpu) -> str:
    facts = [
        gpu.name,
        "use unknown" if gpu.percent is None else f"{gpu.percent:.0f} %",
        _share(gpu.memory_used, gpu.memory_total),
    ]
    return " · ".join(facts if gpu.celsius is None else [*facts, f"{gpu.celsius:.0f} °C"])


def _share(used: int | None, total: int | None) -> str:
    if used is None or not total:
        return "unknown"
    return f"{size_text(used)} of {size_text(total)} ({100 * used / total:.0f} %)"


def _below(look: MachineProcesses) -> list[str]:
    left_out = [f"{look.left_out:,} more processes, which take least"] if look.left_out else []
    return [*left_out, *look.notes]
