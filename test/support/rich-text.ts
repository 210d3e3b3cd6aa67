/** A message with everything in it. */
const F = '```';

export const RICH_TEXT = `# How a router chooses

A token's hidden state meets **one row per expert**; the *largest* scores win, and ~~all~~ only those run. Inline \`code\`, a link to
[the paper](https://arxiv.org/abs/1701.06538), an automatic one: https://example.org/a, and a price of $5.

## In steps

1. Score the experts
2. Keep the best *K*
   - \`top_k = 2\` in Mixtral
   - \`top_k = 8\` in OLMoE
3. Add what they say

- [x] normalised
- [ ] balanced

> The gate is a linear map,
> followed by a softmax.

| model | experts | active | bytes of one expert in four bits |
|:--|--:|:-:|--|
| Mixtral-8x7B | 8 | 2 | 99 MB, read again whenever the expert is not on the card |
| OLMoE-1B-7B | 64 | 8 | 3.5 MB |

The weights are $p_i = \\mathrm{softmax}(W x)_i$, and the output is

$$y = \\sum_{i \\in \\mathrm{top}_K} \\frac{e^{z_i}}{\\sum_j e^{z_j}} E_i(x)$$

${F}python
def route(x, gate, k=2):  # x: [hidden]
    scores = softmax(gate @ x)
    best = argsort(scores)[-k:]
    return {int(e): float(scores[e]) for e in best if scores[e] > 0.0}  # a line that is too long for a phone's width
${F}

${F}
plain, no language
${F}

![A diagram](https://example.org/router.png)

---

### Raw <b>HTML</b> stays text

<div onclick="x()">so does a block of it</div>

Hidden: a\u200bb, and \u202eturned round\u202c. Arabic: مرحبا بالعالم. End.
`;
