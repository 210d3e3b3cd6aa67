#!/usr/bin/env python3
"""Blocks of every ggml type that is read as weights, random but for sane scales, and their values by the Python package `gguf`, as JSON.

    pip install gguf numpy
    python3 test/unit/weights/gguf/blocks.py > test/fixtures/ggml-blocks.json
"""
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

BLOCKS = {32: 4, 256: 2}
# Where the halves of a block are that must be ordinary numbers.
HALVES = {
    'Q4_0': [0], 'Q4_1': [0, 2], 'Q5_0': [0], 'Q5_1': [0, 2], 'Q8_0': [0], 'Q2_K': [80, 82], 'Q3_K': [108],
    'Q4_K': [0, 2], 'Q5_K': [0, 2], 'Q6_K': [208], 'IQ4_NL': [0], 'IQ4_XS': [0], 'MXFP4': [],
}

random = np.random.default_rng(7)
out = {}
for name, halves in HALVES.items():
    weights, size = GGML_QUANT_SIZES[Type[name]]
    blocks = random.integers(0, 256, (BLOCKS[weights], size), dtype=np.uint8)
    for at in halves:
        scale = random.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    if name == 'MXFP4':
        blocks[:, 0] = random.integers(118, 130, len(blocks))
    if name == 'Q3_K':
        # The largest product: scale -32 and q -4 in the first sixteen weights.
        blocks[0, 96], blocks[0, 104] = blocks[0, 96] & 0xF0, blocks[0, 104] & 0xFC
        blocks[0, :16] &= 0xFE
        blocks[0, 32:48] &= 0xFC
    values = dequantize(blocks.reshape(1, -1), Type[name]).astype(np.float32).ravel()
    out[name] = {'blocks': blocks.tobytes().hex(), 'values': [float(v) for v in values]}
print(json.dumps(out, separators=(',', ':')))
