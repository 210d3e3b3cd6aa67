#!/usr/bin/env python3
"""The statistics of docs/statistics.md once more, in NumPy, from their formulas: the bundled traces' values as JSON.

    python3 test/unit/trace/stats/reference.py > test/fixtures/trace-stats.json
"""
import json
import math
import os
import sys

import numpy as np

TRACES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../../demo/visualiser/data')


class Trace:
    def __init__(self, name):
        data = np.load(os.path.join(TRACES, name + '.npz'))
        self.name = name
        self.ids = data['ids'].astype(int)
        self.ids[data['ids'] == np.iinfo(data['ids'].dtype).max] = -1
        self.weights = data['weights'].astype(np.float32).astype(float)
        steps = data['steps'].astype(int)
        self.phase = np.repeat(steps[:, 0], steps[:, 3])
        self.chat = np.repeat(steps[:, 1], steps[:, 3])
        self.E = json.loads(bytes(data['meta']))['model']['experts']
        self.T, self.L, self.K = self.ids.shape
        t = np.arange(self.T)
        # Neither ids nor logits are in these files: made-up ones that any language computes alike.
        self.tokens = (t * t + 3 * t) % 97
        tt, ll, ee = np.meshgrid(t, np.arange(self.L), np.arange(self.E), indexing='ij')
        self.logits = ((tt * 7919 + ll * 104729 + ee * 1299709) % 1009) / 128 - 4
        self.sigmoid = name == 'smolmoe'

    def rows(self, phase=None):
        return np.arange(self.T) if phase is None else np.flatnonzero(self.phase == phase)

    def took(self, layer, rows):
        """[rows, E] of 0 and 1."""
        hot = np.zeros((len(rows), self.E))
        for r, row in enumerate(rows):
            chosen = self.ids[row, layer]
            hot[r, chosen[chosen >= 0]] = 1
        return hot

    def probs(self, layer, rows):
        z = self.logits[rows, layer]
        s = 1 / (1 + np.exp(-z)) if self.sigmoid else np.exp(z - z.max(axis=1, keepdims=True))
        return s / s.sum(axis=1, keepdims=True)


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def load(counts):
    E, mean, f = len(counts), counts.mean(), counts / counts.sum()
    ordered = np.sort(counts)
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    return {
        'cv': counts.std() / mean,
        'cv2': counts.var() / mean**2,
        'maxVio': counts.max() / mean - 1,
        'entropy': entropy(f) / math.log(E),
        'effective': math.exp(entropy(f)),
        'gini': differences / (2 * E * E * mean),
        'topQuarter': ordered[E - math.ceil(E / 4):].sum() / counts.sum(),
        'unused': (counts == 0).mean(),
        'rare': (counts < mean / 10).mean(),
    }


def overlaps(pairs):
    """Of pairs of lists in rank order."""
    pairs = [(a[a >= 0], b[b >= 0]) for a, b in pairs]
    pairs = [(a, b) for a, b in pairs if len(a) and len(b)]
    if not pairs:
        return {'n': 0}
    sets = [(set(a.tolist()), set(b.tolist())) for a, b in pairs]
    return {
        'sameTop': np.mean([a[0] == b[0] for a, b in pairs]),
        'overlap': np.mean([len(a & b) / len(b) for a, b in sets]),
        'jaccard': np.mean([len(a & b) / len(a | b) for a, b in sets]),
        'any': np.mean([bool(a & b) for a, b in sets]),
        'same': np.mean([a == b for a, b in sets]),
        'n': len(pairs),
    }


def information(table):
    n = table.sum()
    p = table / n
    product = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    seen = p > 0
    bits = float((p[seen] * np.log2(p[seen] / product[seen])).sum())
    rows, columns = (table.sum(axis=1) > 0).sum(), (table.sum(axis=0) > 0).sum()
    return {'bits': bits, 'corrected': bits - (seen.sum() - rows - columns + 1) / (2 * n * math.log(2))}


def js_distance(a, b):
    p, q = a / a.sum(), b / b.sum()
    return math.sqrt(max(0, (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2) / math.log(2)))


def repetition(trace, layer, lag):
    same = [t for t in range(lag, trace.T) if trace.chat[t] == trace.chat[t - lag]]
    return overlaps([(trace.ids[t - lag, layer], trace.ids[t, layer]) for t in same])


def reuse(trace, layer):
    uses = [(t, e) for t in range(trace.T) for e in trace.ids[t, layer].tolist() if e >= 0]
    gaps, distances, first = {}, [0] * trace.E, 0
    for at, (t, e) in enumerate(uses):
        before = next((i for i in range(at - 1, -1, -1) if uses[i][1] == e), None)
        if before is None:
            first += 1
            continue
        gaps[t - uses[before][0]] = gaps.get(t - uses[before][0], 0) + 1
        distances[len({x for _, x in uses[before + 1:at]})] += 1
    within = {}
    for span in [1, 4, 16]:
        late = [(t, e) for t, e in uses if t >= span]
        within[span] = np.mean([bool((trace.ids[t - span:t, layer] == e).any()) for t, e in late])
    return {'gaps': [gaps.get(g, 0) for g in range(max(gaps) + 1)], 'distances': distances, 'first': first, 'within': within}


def coactivation(trace, layer):
    hot = trace.took(layer, trace.rows())
    tokens = int((hot.sum(axis=1) > 0).sum())
    both = hot.T @ hot
    i = int(np.argmax(np.diag(both)))
    others = [j for j in range(trace.E) if j != i and both[i, j] > 0]
    k = hot.sum(axis=1)
    expected = (k * (k - 1)).sum() / (trace.E * (trace.E - 1)) / tokens / (k.sum() / trace.E / tokens) ** 2
    return {
        'expert': i,
        'conditional': (both[i] / both[i, i])[others],
        'lift': [both[i, j] * tokens / both[i, i] / both[j, j] for j in others],
        'pmi': [math.log2(both[i, j] / tokens / (both[i, i] / tokens * both[j, j] / tokens)) for j in others],
        'others': others,
        'chance': [(hot[hot[:, i] > 0].sum(axis=1) - 1).mean() / (trace.E - 1), expected],
    }


def flow(trace, a, b, most):
    table = np.zeros((trace.E, trace.E))
    for t in range(trace.T):
        for i in trace.ids[t, a, :most]:
            for j in trace.ids[t, b, :most]:
                if i >= 0 and j >= 0:
                    table[i, j] += 1
    return {**information(table), 'sum': table.sum(), 'trace': np.trace(table)}


def balance(trace, layer):
    rows = trace.rows()
    hot = trace.took(layer, rows)
    ran = hot.sum(axis=1) > 0
    f = hot.sum(axis=0) / hot.sum()
    z = trace.logits[:, layer]
    most = z.max(axis=1)
    lse = most + np.log(np.exp(z - most[:, None]).sum(axis=1))
    importance = np.zeros(trace.E)
    for t in rows:
        for k in range(trace.K):
            if trace.ids[t, layer, k] >= 0:
                importance[trace.ids[t, layer, k]] += trace.weights[t, layer, k]
    sequences = []
    for chat in range(trace.chat.max() + 1):
        inside = trace.chat == chat
        mine = hot[inside]
        sequences.append(trace.E * (mine.sum(axis=0) / mine.sum() * trace.probs(layer, rows[inside]).mean(axis=0)).sum())
    loads = hot.sum(axis=0).reshape(4, -1).sum(axis=1)
    return {
        'switchLoss': trace.E * (f * trace.probs(layer, rows).mean(axis=0)).sum(),
        'sequence': np.mean(sequences),
        'importanceCv2': importance.var() / importance.mean() ** 2,
        'zLoss': (lse**2).mean(),
        'devices': loads.max() / loads.mean() - 1,
        'tokens': int(ran.sum()),
    }


def quantiles(values):
    return {'mean': values.mean(), 'quantiles': np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])}


def gate(trace, layer):
    hot = trace.took(layer, trace.rows())
    ran = hot.sum(axis=1) > 0
    p = trace.probs(layer, trace.rows())
    least = np.where(hot > 0, p, np.inf).min(axis=1)
    most = np.where(hot > 0, -np.inf, p).max(axis=1)
    w = trace.weights[:, layer]
    return {
        'entropy': quantiles(np.array([entropy(row) for row in p]) / math.log(trace.E)),
        'margin': quantiles((least - most)[ran]),
        'topShare': quantiles(w[ran, 0] / w[ran].sum(axis=1)),
    }


def two_sided(z):
    return math.erfc(abs(z) / math.sqrt(2))


def difference(trace, layer):
    a, b = (trace.took(layer, trace.rows(phase)) for phase in (0, 1))
    x, y = a.sum(axis=0), b.sum(axis=0)
    n, m = (a.sum(axis=1) > 0).sum(), (b.sum(axis=1) > 0).sum()
    p = (x + y) / (n + m)
    spread = np.sqrt(p * (1 - p) * (1 / n + 1 / m))
    odds = np.log((x + 0.5) / (n - x + 0.5)) - np.log((y + 0.5) / (m - y + 0.5))
    deviation = np.sqrt(1 / (x + 0.5) + 1 / (n - x + 0.5) + 1 / (y + 0.5) + 1 / (m - y + 0.5))
    odds_z = odds / deviation
    ps = np.array([two_sided(z) for z in odds_z])
    order = np.argsort(ps, kind='stable')
    q = np.empty(len(ps))
    q[order] = np.minimum.accumulate((ps[order] * len(ps) / np.arange(1, len(ps) + 1))[::-1])[::-1]
    return {
        'log2Ratio': np.log2((x + 0.5) / (x + 0.5).sum()) - np.log2((y + 0.5) / (y + 0.5).sum()),
        'z': np.divide(x / n - y / m, spread, out=np.zeros(trace.E), where=spread > 0),
        'logOdds': odds,
        'logOddsZ': odds_z,
        'q': np.minimum(q, 1),
    }


def vocabulary(trace, layer, following):
    hot = trace.took(layer, trace.rows())
    ids = trace.tokens
    if following:
        keep = np.flatnonzero(trace.chat[1:] == trace.chat[:-1])
        hot, ids = hot[keep], trace.tokens[keep + 1]
    keep = hot.sum(axis=1) > 0
    hot, ids = hot[keep], ids[keep]
    often = [i for i in np.unique(ids) if (ids == i).sum() >= 10]
    if not often:
        return {'ids': 0}
    return {'ids': len(often), 'mean': np.mean([hot[ids == i].mean(axis=0).max() for i in often])}


def capacity(trace, layer, factor):
    chosen = trace.ids[:, layer]
    total = int((chosen >= 0).sum())
    cap = math.ceil(factor * (total / trace.E))
    counts = np.bincount(chosen[chosen >= 0], minlength=trace.E)
    result = {'capacity': cap, 'overflow': np.maximum(0, counts - cap).sum() / total}
    by_gate = sorted(range(trace.T), key=lambda t: -trace.weights[t, layer, 0])
    for name, order in (('position', range(trace.T)), ('gate', by_gate)):
        room = [cap] * trace.E
        dropped = []
        for k in range(trace.K):
            for t in order:
                e = chosen[t, k]
                if e < 0:
                    continue
                if room[e] == 0:
                    dropped.append(t * trace.K + k)
                else:
                    room[e] -= 1
        result[name] = [len(dropped), sum(dropped), sorted(dropped)[:8]]
    return result


def paths(trace, first, last):
    top = trace.ids[:, first:last, 0]
    top = top[(top >= 0).all(axis=1)]
    found = {}
    for path in map(tuple, top.tolist()):
        found[path] = found.get(path, 0) + 1
    best = sorted(found.items(), key=lambda item: -item[1])[:5]
    alone = [np.bincount(top[:, i], minlength=trace.E) / len(top) for i in range(last - first)]
    return {
        'tokens': len(top),
        'distinct': len(found),
        'support': [n for _, n in best],
        'experts': [list(path) for path, _ in best],
        'lift': [n / len(top) / np.prod([alone[i][e] for i, e in enumerate(path)]) for path, n in best],
    }


def atlas(trace):
    prints = []
    groups = trace.chat.max() + 1
    for layer in range(trace.L):
        hot = trace.took(layer, trace.rows())
        of = np.array([hot[trace.chat == g].sum(axis=0) for g in range(groups)])
        share = (of + 0.5) / (of.sum(axis=1, keepdims=True) + 0.5 * trace.E)
        prints.append(np.log2(share / (of.sum(axis=0) / of.sum())).T)
    x = np.concatenate(prints)
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    placed = x @ axes
    return {
        'explained': values[::-1][:2] / values.sum(),
        'x': placed[::7, 0],
        'y': placed[::7, 1],
    }


def domains(trace, layer):
    with open(os.path.join(TRACES, 'smolmoe-prompts.json')) as file:
        of = [entry['domain'] for entry in json.load(file)]
    names = list(dict.fromkeys(of))
    counts = np.zeros((len(names), trace.E))
    for t in range(trace.T):
        counts[names.index(of[trace.chat[t]]), trace.ids[t, layer]] += 1
    distances = [[0 if a == b else js_distance(counts[a], counts[b]) for b in range(len(names))] for a in range(len(names))]
    return {'names': names, 'distance': distances, 'information': information(counts)}


def token_information(trace, layer):
    table = np.zeros((97, trace.E))
    for t in range(trace.T):
        for e in trace.ids[t, layer]:
            if e >= 0:
                table[trace.tokens[t], e] += 1
    return information(table)


def describe(trace):
    layers = [0, trace.L // 2, trace.L - 1]
    rows = trace.rows()
    middle = layers[1]
    result = {
        'load': [load(trace.took(l, rows).sum(axis=0)) for l in range(trace.L)],
        'decode': [load(trace.took(l, trace.rows(1)).sum(axis=0)) for l in layers],
        'popularity': -np.sort(-trace.took(middle, rows).sum(axis=0)) / trace.took(middle, rows).sum(),
        'balance': [balance(trace, l) for l in layers],
        'gate': [gate(trace, l) for l in layers],
        'repetition': [[repetition(trace, l, lag) for lag in (1, 2, 8)] for l in layers],
        'reuse': [reuse(trace, l) for l in layers],
        'coactivation': [coactivation(trace, l) for l in layers],
        'flow': [flow(trace, layers[0], middle, trace.K), flow(trace, middle, layers[2], trace.K), flow(trace, 0, 1, 1)],
        'difference': difference(trace, middle),
        'vocabulary': [vocabulary(trace, l, following) for l in layers for following in (False, True)],
        'capacity': [capacity(trace, l, factor) for l in layers for factor in (1, 1.25, 2)],
        'paths': [paths(trace, 0, 3), paths(trace, middle, middle + 2)],
        'agreement': [overlaps(list(zip(trace.ids[: trace.T // 2, l], trace.ids[trace.T // 2 :, l]))) for l in layers],
        'tokenInformation': [token_information(trace, l) for l in layers],
    }
    if trace.name == 'smolmoe':
        result['domains'] = [domains(trace, l) for l in layers]
        result['atlas'] = atlas(trace)
    return result


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return value if isinstance(value, (str, int)) else float('%.10g' % value)


if __name__ == '__main__':
    json.dump({name: plain(describe(Trace(name))) for name in ('qwen', 'gemma', 'gptoss', 'smolmoe')}, sys.stdout)
    print()
