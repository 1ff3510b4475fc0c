"""Metrics and progress in what scripts really print."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.run_record import Progress
from runctl_jupyter.runner.log_metrics import LogMetrics, Pace
from runctl_jupyter.runner.series import Point

ESC = "\x1b"
BAR = " 61%|██████    | 6100/10000 [01:02<00:40, 98.1it/s, loss=0.31]"
LINES: list[tuple[str, int | None, dict[str, float]]] = [
    ("loss=0.31", None, {"loss": 0.31}),
    ("loss: 0.31", None, {"loss": 0.31}),
    ("loss=0.31.", None, {"loss": 0.31}),
    ("loss = 0.31, acc = 87.1%", None, {"loss": 0.31, "acc": 87.1}),
    ("loss 0.31 acc 87.1 %", None, {"loss": 0.31, "acc": 87.1}),
    ("lr=2.1e-04", None, {"lr": 2.1e-4}),
    ("tokens: 12,345.6", None, {"tokens": 12345.6}),
    ("train/loss: 0.3 eval/acc: -.8", None, {"train/loss": 0.3, "eval/acc": -0.8}),
    ("throughput: 412 img/s", None, {"throughput": 412.0}),
    ("loss: tensor(0.31, device='cuda:0', grad_fn=<NllLossBackward0>)", None, {"loss": 0.31}),
    ("reward=np.float64(-1.5)", None, {"reward": -1.5}),
    ("step=6100 loss=0.5", 6100, {"loss": 0.5}),
    ("step 6100/10000 loss 0.31", 6100, {"loss": 0.31}),
    ("step 6,100 of 10,000: loss 0.31", 6100, {"loss": 0.31}),
    ("global_step: 500 reward: -12.5", 500, {"reward": -12.5}),
    ('{"step": 12, "loss": 0.3, "best": true, "note": "3", "eval": {"acc": 1}}', 12, {"loss": 0.3, "eval/acc": 1.0}),
    ('{"iter": 7, "loss": NaN}', 7, {"loss": math.nan}),
    # loggers in front
    ("2026-01-01 10:00:00,123 INFO train.py:31 loss=0.31", None, {"loss": 0.31}),
    ("INFO:root:loss=0.31", None, {"loss": 0.31}),
    # Hugging Face Trainer
    ("{'loss': 0.31, 'learning_rate': 5e-05, 'epoch': 1.0}", 1, {"loss": 0.31, "learning_rate": 5e-5}),
    ("{'loss': '0.31', 'grad_norm': '1.2', 'epoch': '0.37'}", None, {"loss": 0.31, "grad_norm": 1.2}),
    # PyTorch Lightning
    ("Epoch 3:  61%|███ | 610/1000 [00:06<00:04, 98.1it/s, loss=0.310, v_num=0]", 610, {"loss": 0.31}),
    ("Epoch 3/9  ━━━━━━╸━━ 610/1000 0:00:12 • 0:00:08 98.12it/s v_num: 0.000 loss: 0.31", 610, {"loss": 0.31}),
    # Keras, of today (colours) and of old
    (
        f"{ESC}[1m100/100{ESC}[0m {ESC}[32m━━━━{ESC}[0m {ESC}[1m1s{ESC}[0m 2ms/step - acc: 0.91 - loss: 0.31",
        100,
        {"acc": 0.91, "loss": 0.31},
    ),
    ("45/100 [====>.......] - ETA: 3s - loss: 0.31 - accuracy: 0.9000", 45, {"loss": 0.31, "accuracy": 0.9}),
    # XGBoost, LightGBM, CatBoost, scikit-learn
    ("[10]\ttrain-rmse:0.52\teval-rmse:0.61", 10, {"train-rmse": 0.52, "eval-rmse": 0.61}),
    (
        "[10]\ttraining's binary_logloss: 0.31\tvalid_1's auc: 0.91",
        10,
        {"training_binary_logloss": 0.31, "valid_1_auc": 0.91},
    ),
    ("10:\tlearn: 0.6421\ttest: 0.63\tbest: 0.62 (9)\ttotal: 5ms", 10, {"learn": 0.6421, "test": 0.63, "best": 0.62}),
    ("Iteration 1, loss = 2.30258", 1, {"loss": 2.30258}),
    # examples that people begin with
    ("Epoch [1/5], Step [100/600], Loss: 0.2345", 100, {"Loss": 0.2345}),
    ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.300", 640, {"Loss": 2.3}),
    ("Test set: Average loss: 0.0567, Accuracy: 9812/10000 (98%)", None, {"Average_loss": 0.0567}),
    ("Epoch: [0][ 100/1251]\tLoss 2.3021e+00 (2.3400e+00)\tAcc@1  10.2 (  9.8)", 100, {"Loss": 2.3021, "Acc@1": 10.2}),
    ("iter 10: loss 3.2012, time 40.12ms, mfu 12.1%", 10, {"loss": 3.2012}),
    ("step 250: train loss 2.1012, val loss 2.3", 250, {"train_loss": 2.1012, "val_loss": 2.3}),
    (
        "| epoch   1 |   200/ 2928 batches | lr 5.00 | loss  8.21 | ppl  3674.21",
        200,
        {"lr": 5, "loss": 8.21, "ppl": 3674.21},
    ),
    (BAR, 6100, {"loss": 0.31}),
    ("6100it [01:02, 98.1it/s, loss=0.31]", 6100, {"loss": 0.31}),
]
NO_METRICS = [
    "412 img/s",
    "98.4 MB",
    "size: 98.4 MB",
    "checkpoint=1.2 GiB",
    "version: 1.2.3",
    "torch: 2.5.1+cu121",
    "numpy==1.26.4 pandas>=2.2",
    "date: 2026-01-02 time: 10:31:02",
    "ip: 10.0.0.1",
    "pid=123 job_id=7 port: 8080 seed: 42",
    "listening on localhost:8080",
    "GET https://host:8080/x?lr=0.1&k=2 HTTP/1.1",
    "python train.py --lr=0.1 --epochs=3",
    "Namespace(lr=0.1, epochs=3, seed=42)",
    "(fc): Linear(in_features=10, out_features=5, bias=True)",
    "checkpoints/epoch=3-val_loss=0.31.ckpt",
    "elapsed: 12.3s, memory: 4GB",
    "model=resnet50 loss=cross_entropy",
    "Found: 3 files",
    '  File "train.py", line 31, in main',
    "Tried to allocate 2.00 GiB (GPU 0; 15.78 GiB total capacity)",
    "model.safetensors: 100%|██████| 548M/548M [00:05<00:00, 98.0MB/s]",
    "Downloading: 100%|██████| 28.0/28.0 [00:00<00:00, 5.2kB/s]",
]


def points(*lines: str) -> list[Point]:
    return LogMetrics().take(lines, 5.0)


def progress(*lines: str) -> Progress | None:
    log = LogMetrics()
    log.take(lines, 0.0)
    return log.progress


@pytest.mark.parametrize(("line", "step", "values"), LINES, ids=[line for line, _, _ in LINES])
def test_metrics_of_a_line(line: str, step: int | None, values: dict[str, float]) -> None:
    found = points(line)
    assert {point.name: point.value for point in found} == pytest.approx(values, nan_ok=True)
    assert {point.step for point in found} == {step}
    assert {point.time for point in found} == {5.0}


@pytest.mark.parametrize("line", NO_METRICS)
def test_numbers_that_are_no_metrics(line: str) -> None:
    assert points(line) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["step 6100"], Progress(6100)),
        (["step 6100/10000"], Progress(6100, 10000)),
        (["step=6100 max_steps=10000"], Progress(6100, 10000)),
        (["epoch 3"], Progress(3)),
        (["Epoch 3/10"], Progress(3, 10)),
        ([BAR], Progress(6100, 10000, 40.0)),
        ([" 50%|█| 5/10 [1:00:00<1:02:03, 7.2s/it]"], Progress(5, 10, 3723.0)),
        (["  0%|          | 0/10 [00:00<?, ?it/s]"], Progress(0, 10)),
        (["Step 1: Download the data"], None),
        (["batch=16"], None),
        (["it took 3 steps"], None),
        (["Downloading: 100%|██| 28.0/28.0 [00:00<00:00, 5.2kB/s]"], None),
        # a whole of five epochs
        (["Epoch [1/5], Step [100/600]"], Progress(100, 3000)),
        (["Epoch [1/5], Step [600/600]", "Epoch [2/5], Step [100/600]"], Progress(700, 3000)),
        # steps that go on over the epochs
        (["epoch 1/2 step 500/1000", "epoch 2/2 step 600/1000"], Progress(600, 1000)),
        # a short bar beside a long one
        ([BAR, "eval: 50%|█| 5/10 [00:01<00:01, 5it/s]"], Progress(6100, 10000, 40.0)),
        (["Map: 100%|█| 5/5 [00:01<00:00]", "  1%| | 1/99 [00:00<00:02, 49it/s]"], Progress(1, 99, 2.0)),
    ],
)
def test_progress(lines: list[str], expected: Progress | None) -> None:
    assert progress(*lines) == expected


def test_a_value_without_a_step_belongs_to_the_last_one() -> None:
    found = points("step 10", "loss=0.5", "step 20", "loss=0.4")
    assert [(point.step, point.value) for point in found] == [(10, 0.5), (20, 0.4)]
    hugging_face = points(" 10%|█ | 500/5000 [00:10<01:30, 50it/s]", "{'loss': 0.5, 'epoch': 0.1}")
    assert [point.step for point in hugging_face] == [500]
    assert [point.step for point in points("Epoch 3", "loss=0.4")] == [3]


def test_steps_of_a_bar_that_begins_anew_in_each_epoch_go_on() -> None:
    frames = [f"{n}/3 ━━━━ 0s 2ms/step - loss: 0.{n}" for _ in range(2) for n in (1, 2, 3)]
    assert [point.step for point in points(*frames)] == [1, 2, 3, 4, 5, 6]


def test_the_time_left_by_the_pace_of_the_last_steps() -> None:
    log = LogMetrics()
    for second in range(5):
        log.take([f"step {10 * second}/100"], float(second))
    assert log.progress == Progress(40, 100, 6.0)


def test_a_pace_begins_anew_where_steps_step_back() -> None:
    pace = Pace()
    pace.note(100, 0.0)
    pace.note(200, 10.0)
    assert pace.seconds_for(10) == 1.0
    pace.note(50, 11.0)
    assert pace.seconds_for(10) is None


@given(st.lists(st.text(max_size=200) | st.text("0123456789/[]%|:=.,-step{}\"'() \u2501", max_size=200), max_size=5))
def test_whatever_is_printed_is_read(lines: list[str]) -> None:
    for point in points(*lines):
        assert 0 < len(point.name) <= 64
        assert isinstance(point.value, float)


def test_numbers_beyond_all_measure() -> None:
    huge = "9" * 1500
    found = points(f"loss={huge}", f"step {huge}/{huge} loss=1", f'{{"loss": {huge}, "step": {huge}}}', "[" * 1500)
    assert [point.step for point in found] == [None] * 3


def test_a_name_is_at_most_64_characters() -> None:
    assert [point.name for point in points("x" * 100 + "=1.5")] == ["x" * 64]
