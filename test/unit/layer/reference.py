#!/usr/bin/env python3
"""Routers of the published layers once more, in NumPy, as their papers and libraries write them: with one-hot masks and running sums.

    python3 test/unit/layer/reference.py > test/fixtures/moe-layer.json
"""
import json
import math

import numpy as np

T, D, F, SEED, STEP = 12, 6, 4, 21, 5
M32 = 0xFFFFFFFF


def philox(counter, key):
    """Salmon et al. 2011, 4x32, ten rounds."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & M32, (p0 >> 32) ^ c[3] ^ k[1], p0 & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def uniform(purpose, a, b, word=0):
    return ((philox((a, b, purpose, STEP), (SEED, 0))[word] >> 9) + 0.5) * 2.0**-23


def field(purpose, columns, word=0):
    return np.array([[uniform(purpose, t, c, word) for c in range(columns)] for t in range(T)])


def gumbel(E):
    return -np.log(-np.log(field(1, E)))


def normal(E):
    return np.sqrt(-2 * np.log(field(2, E, 0))) * np.cos(2 * np.pi * field(2, E, 1))


def made_up(rows, columns, a, b, size):
    """Numbers that any language computes alike, exact in f32."""
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing='ij')
    return ((r * a + c * b + r * c * 11 + r * r * 3) % 127 - 63) * size / 64


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softplus(z):
    return np.logaddexp(0, z)


X = made_up(T, D, 37, 53, 1.0)


def expert(e, x):
    gate, up, down = made_up(F, D, 17 + e, 29, 0.5), made_up(F, D, 41, 23 + e, 0.5), made_up(D, F, 31 + 2 * e, 19, 0.5)
    g = x @ gate.T
    return (g / (1 + np.exp(-g)) * (x @ up.T)) @ down.T


def one_hot(ids, E):
    return (ids[:, None] == np.arange(E)).astype(int)


def capacity(E, factor, least=0):
    return max(math.ceil(np.float32(np.float32(T / E) * np.float32(factor))), least)


def cv2(v):
    return np.var(v) / np.mean(v) ** 2


def losses(H, P, asked):
    """P [T, E] shares; asked [T, E] of 0 and 1: choices before anything is dropped."""
    E = P.shape[1]
    lse = np.log(np.exp(H).sum(axis=1))
    mean = P.mean(axis=0)
    return {
        'load_balancing': float(E * np.sum(mean * asked.sum(axis=0) / asked.sum())),
        'z': float(np.mean(lse**2)),
        'mutual_information': float(np.sum(mean * np.log(mean)) - np.mean(np.sum(P * np.log(P), axis=1))),
    }


def result(name, combine, kept, asked, H, P, extra=0.0, **more):
    """combine [T, E]: weight of each expert for each token; kept [T, E] of 0 and 1."""
    E = combine.shape[1]
    out = sum(combine[:, e : e + 1] * expert(e, X) for e in range(E)) + extra
    return {
        'name': name,
        'kept': kept.astype(int).tolist(),
        'weights': combine.tolist(),
        'out': np.asarray(out).tolist(),
        'losses': {**losses(H, P, asked), **more.pop('losses', {})},
        **more,
    }


def deepspeed_top1(name, rsample=False, rts=False, factor=1.0, least=0):
    E = 5
    logits = X @ made_up(E, D, 13, 47, 0.7).T
    gates = softmax(logits)
    mask = one_hot(np.argmax(logits + gumbel(E) if rsample else gates, axis=1), E)
    C = capacity(E, factor, least)
    # Draws are of (token, choice): a top-1 token has one.
    priority = mask * (field(3, 1) if rts else 1)
    kept = np.zeros_like(mask)
    for e in range(E):
        order = np.argsort(-priority[:, e], kind='stable')[:C]
        kept[order, e] = mask[order, e]
    return result(name, gates * kept, kept, mask, logits, gates, capacity=C)


def top2(name, factor, gumbel_second=False, gshard=False):
    E = 4
    logits = X @ made_up(E, D, 13, 47, 0.7).T
    gates = softmax(logits)
    mask1 = one_hot(np.argmax(gates, axis=1), E)
    rest = np.where(mask1 == 1, -np.inf, logits + gumbel(E) if gumbel_second else logits)
    mask2 = one_hot(np.argmax(rest, axis=1), E)
    asked = mask1 + mask2
    at1 = np.cumsum(mask1, axis=0) - 1
    at2 = np.cumsum(mask2, axis=0) - 1 + mask1.sum(axis=0)
    C = capacity(E, 2 * factor)
    g1, g2 = (gates * mask1).sum(axis=1), (gates * mask2).sum(axis=1)
    if gshard:
        g1, g2 = g1 / (g1 + g2), g2 / (g1 + g2)
        mask2 = mask2 * (2 * g2 > np.array([uniform(4, t, 0) for t in range(T)]))[:, None]
    kept1, kept2 = mask1 * (at1 < C), mask2 * (at2 < C)
    if not gshard:
        g1, g2 = g1 * kept1.sum(axis=1), g2 * kept2.sum(axis=1)
        total = np.maximum(g1 + g2, np.finfo(np.float32).eps)
        g1, g2 = g1 / total, g2 / total
    combine = g1[:, None] * kept1 + g2[:, None] * kept2
    return result(name, combine, kept1 + kept2, asked, logits, gates, capacity=C)


def expert_choice(name, factor):
    E = 4
    logits = X @ made_up(E, D, 13, 47, 0.7).T
    S = softmax(logits)
    C = capacity(E, factor)
    kept = np.zeros((T, E), dtype=int)
    for e in range(E):
        kept[np.argsort(-S[:, e], kind='stable')[:C], e] = 1
    return result(name, S * kept, kept, kept, logits, S, capacity=C)


def deepseek_v3(name):
    E, groups, keep, K, scale = 8, 4, 2, 3, 2.5
    logits = X @ made_up(E, D, 13, 47, 0.7).T
    s = 1 / (1 + np.exp(-logits))
    key = s + made_up(1, E, 0, 59, 0.125)[0]
    top2sum = np.sort(key.reshape(T, groups, -1), axis=2)[:, :, -2:].sum(axis=2)
    best = np.argsort(-top2sum, axis=1, kind='stable')[:, :keep]
    allowed = np.zeros((T, groups), dtype=bool)
    np.put_along_axis(allowed, best, True, axis=1)
    key = np.where(np.repeat(allowed, E // groups, axis=1), key, -np.inf)
    kept = np.zeros((T, E), dtype=int)
    np.put_along_axis(kept, np.argsort(-key, axis=1, kind='stable')[:, :K], 1, axis=1)
    combine = s * kept / (s * kept).sum(axis=1, keepdims=True) * scale
    shared = expert(E, X)
    # Routers of four devices of two experts: a device that a token is sent to, by all that it may be sent to.
    sent = (kept.reshape(T, groups, -1).sum(axis=2) > 0).mean(axis=0) * groups / keep
    P = s / s.sum(axis=1, keepdims=True)
    f = kept.sum(axis=0) * E / (K * T)
    device = P.mean(axis=0).reshape(groups, -1).sum(axis=1)
    halves = [slice(0, T // 2), slice(T // 2, T)]
    sequence = [np.sum(kept[h].sum(axis=0) * E / (K * T / 2) * P[h].mean(axis=0)) for h in halves]
    more = {
        'communication_balance': float(np.sum(sent * device)),
        'device_balance': float(np.sum(f.reshape(groups, -1).mean(axis=1) * device)),
        'sequence_balance': float(np.mean(sequence)),
    }
    return result(name, combine, kept, kept, logits, P, extra=shared, losses=more)


def shazeer(name):
    E, K = 6, 2
    clean = X @ made_up(E, D, 13, 47, 0.7).T
    width = softplus(X @ made_up(E, D, 61, 5, 0.5).T)
    H = clean + normal(E) * width
    order = np.argsort(-H, axis=1, kind='stable')
    kept = np.zeros((T, E), dtype=int)
    np.put_along_axis(kept, order[:, :K], 1, axis=1)
    G = softmax(np.where(kept == 1, H, -np.inf))
    ranked = np.take_along_axis(H, order, axis=1)
    threshold = np.where(kept == 1, ranked[:, K : K + 1], ranked[:, K - 1 : K])
    phi = np.vectorize(lambda a: 0.5 * (1 + math.erf(a / math.sqrt(2))))
    load = phi((clean - threshold) / width).sum(axis=0)
    more = {'importance': float(cv2(G.sum(axis=0))), 'load': float(cv2(load))}
    return result(name, G, kept, kept, H, softmax(H), losses=more)


def pr_moe(name):
    E, jitter = 4, 0.25
    read = X * (1 + jitter * (2 * field(0, D) - 1))
    logits = read @ made_up(E, D, 13, 47, 0.7).T
    gates = softmax(logits)
    kept = one_hot(np.argmax(gates, axis=1), E)
    mix = softmax(X @ made_up(2, D, 71, 7, 0.5).T)
    out = result(name, gates * kept, kept, kept, logits, gates)
    moe = np.array(out['out'])
    out['out'] = (moe * mix[:, :1] + expert(E, X) * mix[:, 1:]).tolist()
    return out


def identities(name):
    E, zero, K = 4, 2, 2
    logits = X @ made_up(E + zero, D, 13, 47, 0.7).T
    gates = softmax(logits)
    kept = np.zeros((T, E + zero), dtype=int)
    np.put_along_axis(kept, np.argsort(-gates, axis=1, kind='stable')[:, :K], 1, axis=1)
    combine = gates * kept
    out = sum(combine[:, e : e + 1] * (expert(e, X) if e < E else X) for e in range(E + zero))
    return {**result(name, combine, kept, kept, logits, gates), 'out': out.tolist()}


cases = [
    deepspeed_top1('deepspeed top-1'),
    deepspeed_top1('deepspeed top-1, min_capacity', factor=0.1, least=2),
    deepspeed_top1('deepspeed top-1, RSample, use_rts', rsample=True, rts=True, factor=0.6),
    top2('deepspeed top-2', 0.75),
    top2('deepspeed top-2, second expert sampled', 0.6, gumbel_second=True),
    top2('gshard', 0.75, gshard=True),
    expert_choice('expert choice', 2),
    deepseek_v3('deepseek-v3'),
    shazeer('noisy top-k'),
    pr_moe('pr-moe with jitter'),
    identities('identity experts'),
    top2('deepspeed top-2, capacity 1', 0.01),
    top2('gshard, capacity 1', 0.01, gshard=True),
]

# Ties: every logit is 0, the lowest ids win. One token many times: all go to one expert.
for what, X in ('zero', np.zeros((T, D))), ('equal', np.repeat(made_up(1, D, 37, 53, 1.0), T, axis=0)):
    cases += [
        deepspeed_top1(f'deepspeed top-1; {what}'),
        deepspeed_top1(f'deepspeed top-1, by lot; {what}', rts=True),
        top2(f'deepspeed top-2; {what}', 0.75),
        top2(f'gshard; {what}', 0.75, gshard=True),
        expert_choice(f'expert choice; {what}', 2),
    ]

round9 = lambda v: round(v, 9) if isinstance(v, float) else [round9(i) for i in v] if isinstance(v, list) else {k: round9(i) for k, i in v.items()} if isinstance(v, dict) else v
print(json.dumps(round9(cases)))
