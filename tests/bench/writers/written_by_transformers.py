"""Checkpoints of transformers, its trainer and PEFT; the model is made on the spot, nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from rows import Rows
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

folder = Path(sys.argv[1])
rows = Rows("transformers", "peft")
config = LlamaConfig(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=32,
)
model = LlamaForCausalLM(config)
data = [{"input_ids": (ids := torch.randint(0, 256, (8,))), "labels": ids} for _ in range(16)]
how = TrainingArguments(
    str(folder / "trainer"), max_steps=4, save_steps=4, logging_steps=2, report_to=[], use_cpu=True, disable_tqdm=True
)
Trainer(model, how, train_dataset=data).train()
state = model.state_dict()
parameters = sum(tensor.numel() for tensor in state.values())
name = "model.layers.1.mlp.up_proj.weight"
weight = state[name].numpy()
rows.add("Trainer", folder / "trainer" / "checkpoint-4", parameters, 4, name, weight)
model.save_pretrained(folder / "sharded", max_shard_size="100KB")
rows.add("save_pretrained, in shards", folder / "sharded", parameters, None, name, weight)
adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
adapted.save_pretrained(folder / "adapter")
trained = {key: tensor for key, tensor in adapted.named_parameters() if "lora" in key}
key, tensor = next(iter(trained.items()))
rows.add(
    "PEFT adapter",
    folder / "adapter",
    sum(each.numel() for each in trained.values()),
    None,
    key.replace(".default", ""),
    tensor.detach().numpy(),
)
rows.tell()
