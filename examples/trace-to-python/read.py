"""Reads what record.mjs wrote: python3 read.py run.npz run.json. Needs NumPy, nothing else."""

import json
import sys

import numpy as np

npz, response = sys.argv[1:3]

# The trace: what the model computed, step by step.
trace = np.load(npz)
meta = json.loads(trace["meta"].tobytes())
ids, weights, steps = trace["ids"], trace["weights"], trace["steps"]
tokens, layers, top_k = ids.shape
experts = meta["model"]["experts"]
print(f"{meta['model']['name']}: {layers} MoE layers of {experts} experts, {top_k} a token")
print(f"{len(steps)} steps of {tokens} tokens: ids {ids.shape} {ids.dtype}, weights {weights.shape} {weights.dtype}")
assert steps[:, 3].sum() == tokens

absent = np.iinfo(ids.dtype).max
for layer in range(layers):
    taken = ids[:, layer][ids[:, layer] != absent]
    load = np.bincount(taken, minlength=experts) / taken.size
    effective = np.exp(-np.sum(load[load > 0] * np.log(load[load > 0])))
    print(f"layer {layer}: load {np.array2string(load, precision=2, max_line_width=10_000)}, {effective:.2f} effective experts")

# What an expert likes: the tokens that most often went to the busiest expert of the first layer.
tokens_read = json.loads(trace["texts"].tobytes()) if "texts" in trace else [str(t) for t in trace["token_ids"]]
busiest = int(np.bincount(ids[:, 0][ids[:, 0] != absent], minlength=experts).argmax())
went = (ids[:, 0] == busiest).any(axis=1)
names, counts = np.unique(np.array(tokens_read)[went], return_counts=True)
top = ", ".join(f"{str(names[i])!r} x{counts[i]}" for i in np.argsort(-counts, kind="stable")[:5])
print(f"layer 0, expert {busiest}: {went.sum()} of {tokens} tokens, most often {top}")

# The same run in the shape of vLLM's responses: every token of the prompt has a row, -1 where it came from the cache.
with open(response) as file:
    run = json.load(file)
prompt = np.array(run["prompt_routed_experts"], dtype=np.int16)
answer = np.array(run["choices"][0]["routed_experts"], dtype=np.int16)
cached = int((prompt < 0).all(axis=(1, 2)).sum())
print(f"prompt {prompt.shape} {prompt.dtype}, {cached} tokens from the cache; answer {answer.shape} {answer.dtype}")
counts = " ".join(str(n) for n in np.bincount(answer[:, 0].ravel(), minlength=experts))
print(f"answer, layer 0: taken [{counts}]")
