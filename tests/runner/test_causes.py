"""Why a script failed: told by its exit code, the kernel's counters and the end of its output; never by its middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.run_record import Cause
from runctl_jupyter.runner.causes import cause_of_exit
from runctl_jupyter.runner.memory import kills_for_memory

FRAME = 'Traceback (most recent call last):\n  File "/w/train.py", line 9, in <module>\n    main()\n    ~~~~^^\n'
NO_MODULE = FRAME + "ModuleNotFoundError: No module named 'sklearn.svm'\n"
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 22 GiB"
TORCHRUN = """\
W0101 10:00:00.000000 1 torch/distributed/elastic/agent.py:869] Sending process 12 closing signal SIGTERM
E0101 10:00:00.000000 1 api.py:869] failed (exitcode: 1) local_rank: 0 (pid: 11) of binary: /usr/bin/python3
Traceback (most recent call last):
  File "/usr/bin/torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_10:00:00
  host      : ip-10-0-0-1
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 11)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "t.py", line 1, in <module>
  | ExceptionGroup: two (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: inner
    +------------------------------------
"""
WORKER = "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed. \n"


def cause(code: int, text: str | bytes, *, out_of_memory: bool = False) -> Cause:
    tail = text.encode() if isinstance(text, str) else text
    found = cause_of_exit(code, tail, out_of_memory=out_of_memory)
    assert found is not None
    return found


@pytest.mark.parametrize("out_of_memory", [False, True])
@pytest.mark.parametrize("text", ["", NO_MODULE, FRAME + CUDA + "\n", "Killed\n", FRAME + "MemoryError\n"])
def test_a_script_that_exits_0_has_not_failed(text: str, out_of_memory: bool) -> None:
    assert cause_of_exit(0, text.encode(), out_of_memory=out_of_memory) is None


@pytest.mark.parametrize(
    "text",
    [
        FRAME + CUDA,
        FRAME + "[rank1]: " + CUDA,
        FRAME + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 14.56 GiB total)",
        FRAME + "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
        FRAME + "RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported\n"
        "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA`.",
        FRAME + "torch.AcceleratorError: CUDA error: out of memory",
        FRAME + "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        FRAME + "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        FRAME + "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB",
        FRAME + "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes",
        FRAME
        + "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.",
        FRAME
        + "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Failed to allocate request for 9 GiB on device ordinal 0",
        FRAME + "tensorflow.python.framework.errors_impl.ResourceExhaustedError: Graph execution error:\n\n"
        "Detected at node model/dense/MatMul\nOOM when allocating tensor with shape[9,9] and type float on "
        "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n\t [[node]]\nHint: [Op:__inference]",
        FRAME.replace("train", "run") + CUDA + "\n" + TORCHRUN.format(code=1),
        "ggml_cuda: CUDA error: out of memory\n  current device: 0\n",
        "-- Process 1 terminated with the following error:\n" + FRAME + CUDA,
        FRAME + CUDA + "\nwandb: \nwandb: Run history:\n" + "wandb: loss ##\n" * 40,
        FRAME + CUDA + "\nresource_tracker: There appear to be 1 leaked semaphore objects to clean up at shutdown\n",
    ],
)
def test_the_memory_of_the_gpu(text: str) -> None:
    found = cause(1, "epoch 1 loss 0.3\n" + text + "\n")
    assert found.kind == "cuda-out-of-memory"
    assert found.message.startswith("the GPU ran out of memory: ")


def test_c_plus_plus_that_aborts_for_memory_of_the_gpu() -> None:
    text = "terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error: out of memory\n"
    found = cause(-signal.SIGABRT, text)
    assert (found.kind, found.signal) == ("cuda-out-of-memory", signal.SIGABRT)
    assert cause(-signal.SIGABRT, "assertion failed\n").kind == "signal"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"{CUDA}\nbatch size is now 8\n" + FRAME + "KeyError: 'lr'\n", 1),
        (FRAME + CUDA + "\n" + "During handling of the above exception:\n\n" + FRAME + "KeyError: 'lr'\n", 1),
        (FRAME + CUDA + "\n" + "".join(f"epoch {i} loss 0.3\n" for i in range(60)) + "too bad\n", 3),
        (NO_MODULE + "".join(f"falling back, step {i}\n" for i in range(60)), 1),
        (FRAME + "MemoryError\n" + FRAME + "KeyError: 'lr'\n", 1),
        (FRAME + "grpc.RpcError: StatusCode.RESOURCE_EXHAUSTED: quota of 5 requests\n", 1),
        (FRAME + "RuntimeError: no luck\nCUDA out of memory is what I feared\n", 1),
    ],
)
def test_an_error_that_did_not_end_the_script_is_not_its_cause(text: str, code: int) -> None:
    found = cause(code, text)
    assert found.kind == "exit"
    assert f"exit code {code}" in found.message
    if "KeyError" in text:
        assert found.message.endswith("KeyError: 'lr'")


def test_a_module_that_is_missing() -> None:
    found = cause(1, NO_MODULE)
    assert found.kind == "missing-module"
    assert "sklearn.svm" in found.message
    assert "list scikit-learn in the requirements file or in a PEP 723 block" in found.message
    assert found.message.endswith("(ModuleNotFoundError: No module named 'sklearn.svm')")
    found = cause(1, "/usr/bin/python3: No module named accelerate\n")
    assert (found.kind, "list accelerate in" in found.message) == ("missing-module", True)
    assert cause(1, FRAME + "ImportError: cannot import name 'x' from 'y'\n").kind == "exit"


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mModuleNotFoundError\x1b[0m: No module named '\x1b[1mtimm\x1b[0m'\n",
        "\x1b]0;training\x07\x1b[1;31mModuleNotFoundError: No module named 'timm'\x1b[K\n",
        " 10%|#   | 1/10\r 20%|##  | 2/10\rModuleNotFoundError: No module named 'timm'\r\n",
        "ModuleNotFoundError: No module named 'timm'",
        "\ufffd\ufffdof a line\nModuleNotFoundError: No module named 'timm'\n",
        "[rank0]: ModuleNotFoundError: No module named 'timm'\n[rank0]:[W101 10:00:00 Warning: not destroyed\n",
    ],
)
def test_terminal_codes_and_returns_hide_nothing(text: str) -> None:
    found = cause(1, text)
    assert (found.kind, "module timm" in found.message) == ("missing-module", True)
    assert found.message.isprintable()


def test_the_kernel_kills_for_memory() -> None:
    found = cause(-signal.SIGKILL, "epoch 1\n", out_of_memory=True)
    assert (found.kind, found.signal) == ("out-of-memory", signal.SIGKILL)
    assert cause(-signal.SIGKILL, "epoch 1\n").kind == "signal"
    assert cause(-signal.SIGTERM, "epoch 1\n", out_of_memory=True).kind == "signal"
    wrapped = cause(137, "train.sh: line 3: 99 Killed python train.py\n", out_of_memory=True)
    assert (wrapped.kind, wrapped.signal) == ("out-of-memory", signal.SIGKILL)
    unknown = cause(137, "train.sh: line 3: 99 Killed python train.py\n")
    assert (unknown.kind, "SIGKILL" in unknown.message) == ("exit", True)


@pytest.mark.parametrize(
    "text",
    [
        FRAME + WORKER,
        FRAME + "concurrent.futures.process.BrokenProcessPool: A process in the process pool was terminated abruptly\n",
        FRAME + "torch.multiprocessing.spawn.ProcessExitedException: process 1 terminated with signal SIGKILL\n",
        TORCHRUN.format(code=-9),
    ],
)
def test_a_worker_killed_for_memory(text: str) -> None:
    assert cause(1, text, out_of_memory=True).kind == "out-of-memory"
    assert cause(1, text).kind == "exit"
    assert cause(1, text + FRAME + "KeyError: 'lr'\n" + "bye\n" * 5, out_of_memory=True).kind == "exit"


@pytest.mark.parametrize(
    "line",
    [
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 745. GiB for an array",
        "OSError: [Errno 12] Cannot allocate memory",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_memory_that_the_script_was_refused(line: str) -> None:
    found = cause(1, FRAME + line + "\n")
    assert found.kind == "out-of-memory"
    assert line in found.message


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (127, "train.sh: line 2: nvcc: command not found\n", "a command was not found: train.sh: line 2: nvcc"),
        (127, "sh: 1: nvcc: not found\n", "a command was not found: sh: 1: nvcc"),
        (127, "done\n", "exit code 127"),
        (126, "./go: Permission denied\n", "a command cannot be executed: ./go: Permission denied"),
        (139, "Segmentation fault (core dumped)\n", "SIGSEGV"),
        (194, "", "the script ended with exit code 194"),
        (3, "Training complete\n", "the script ended with exit code 3"),
        (1, FRAME + "__main__.Boom: too hot\n", "exit code 1: __main__.Boom: too hot"),
        (1, '  File "t.py", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n', ": SyntaxError: invalid"),
        (1, GROUP, "exit code 1: ValueError: inner"),
    ],
)  # fmt: skip
def test_exit_codes_are_explained(code: int, text: str, said: str) -> None:
    found = cause(code, text)
    assert (found.kind, found.signal) == ("exit", None)
    assert said in found.message


def test_what_real_programs_say(tmp_path: Path) -> None:
    def end(source: str, *command: str) -> Cause:
        script = tmp_path / "t"
        script.write_text(textwrap.dedent(source))
        done = subprocess.run([*command, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return cause(done.returncode, done.stdout)

    assert end("import no_such_module_of_mine", sys.executable).kind == "missing-module"
    assert end("x = bytearray(1 << 62)", sys.executable).kind == "out-of-memory"
    assert end("raise ExceptionGroup('g', [ValueError(1)])", sys.executable).message.endswith("ValueError: 1")
    assert "a command was not found" in end("no-such-program", "sh").message
    assert "a command cannot be executed" in end("/etc/passwd", "sh").message
    assert "SIGKILL" in end("sh -c 'kill -9 $$'", "sh").message
    assert end("import os; os.kill(os.getpid(), 9)", sys.executable).signal == signal.SIGKILL


@given(st.binary(max_size=600), st.integers(-64, 255).filter(bool), st.booleans())
def test_any_bytes_give_one_printable_sentence(tail: bytes, code: int, out_of_memory: bool) -> None:
    found = cause_of_exit(code, tail, out_of_memory=out_of_memory)
    assert found is not None
    assert found.message.isprintable()
    assert len(found.message) < 600


ENDINGS = st.sampled_from(
    [
        (NO_MODULE, "missing-module"),
        (FRAME + CUDA + "\n", "cuda-out-of-memory"),
        (FRAME + "MemoryError\n", "out-of-memory"),
        (FRAME + "KeyError: 'x'\n", "exit"),
    ]
)
COLOURS = st.sampled_from(["", "\x1b[0m", "\x1b[1;31m", "\x1b[K", "\x1b]8;;file:///t.py\x07"])


@given(
    st.binary(max_size=400),
    st.lists(ENDINGS, min_size=1, max_size=4),
    COLOURS,
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_the_last_error_wins_whatever_stands_before_it(
    before: bytes, endings: list[tuple[str, str]], colour: str, line_end: bytes
) -> None:
    lines = "".join(text for text, _ in endings).splitlines()
    tail = before + b"\n" + b"".join(f"{colour}{line}{colour}".encode() + line_end for line in lines)
    assert cause(1, tail).kind == endings[-1][1]


@given(st.integers(0, 400))
def test_a_tail_may_begin_anywhere(cut: int) -> None:
    text = ("a line of the log\n" * 3 + NO_MODULE).encode()
    kept = text[-min(cut, len(text)) :] if cut else b""
    whole = b"ModuleNotFoundError" in kept
    assert cause(1, kept).kind == ("missing-module" if whole else "exit")


def proc(tmp_path: Path, cgroup: str, mounts: str, counters: dict[str, str]) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    (tmp_path / "self" / "mountinfo").write_text(mounts.format(root=tmp_path))
    for name, text in counters.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


V1 = """\
30 29 0:1 / {root}/v1/cpu rw - cgroup cgroup rw,cpu
31 29 0:2 / {root}/v1/memory rw shared:1 - cgroup cgroup rw,memory
"""
V2 = "32 29 0:3 / {root}/v2 rw - cgroup2 cgroup2 rw,nsdelegate\n"
VMSTAT = {"vmstat": "nr_free_pages 1\noom_kill 70\n"}
EVENTS = "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "counters", "count"),
    [
        ("0::/job.service\n", V2, {"v2/job.service/memory.events": EVENTS}, 2),
        ("0::/\n", V2, {}, 70),  # the root group does not count
        ("0::/\n", V2, {"v2/memory.events": EVENTS}, 2),  # a container's root does
        ("9:memory:/jobs/a\n0::/\n", V1 + V2, {"v1/memory/jobs/a/memory.oom_control": CONTROL}, 5),
        ("9:cpu,memory:/docker/f/a\n", V1.replace(" / {root}/v1/m", " /docker/f {root}/v1/m"),
         {"v1/memory/a/memory.oom_control": CONTROL}, 5),
        ("9:memory:/elsewhere\n", V1.replace(" / {root}/v1/m", " /docker/f {root}/v1/m"), {}, 70),
        ("9:memory:/jobs/a\n", V1, {"v1/memory/jobs/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, 70),
        ("9:cpu:/jobs/a\n", "", {}, 70),
    ],
)  # fmt: skip
def test_the_own_group_counts_before_the_machine(
    tmp_path: Path, cgroup: str, mounts: str, counters: dict[str, str], count: int
) -> None:
    assert kills_for_memory(proc(tmp_path, cgroup, mounts, VMSTAT | counters)) == count


def test_a_system_that_does_not_count(tmp_path: Path) -> None:
    assert kills_for_memory(tmp_path) == 0
