/** Byte strings as a tree in arrays: nodes in depth-first order, so that a walk is a loop and leaving a branch is a jump. */

export interface Trie {
  readonly bytes: Uint8Array;
  /** 0 for nodes of the first byte. */
  readonly depths: Uint16Array;
  /** Where the walk goes on when the branch of a node is left out. */
  readonly skips: Int32Array;
  /** The token that ends at a node, or -1; tokens with equal bytes hang on it in `twins`. */
  readonly tokens: Int32Array;
  /** [V] the next token of equal bytes, or -1. */
  readonly twins: Int32Array;
  /** [256] node of each first byte, or -1. */
  readonly roots: Int32Array;
  /** One more than the greatest depth. */
  readonly height: number;
}

const sharedLength = (a: string, b: string): number => {
  let n = 0;
  while (n < a.length && n < b.length && a.charCodeAt(n) === b.charCodeAt(n)) n++;
  return n;
};

/** @param keys sorted, with one UTF-16 unit a byte, none empty, and their tokens */
export function buildTrie(keys: readonly (readonly [string, number])[], size: number): Trie {
  let nodes = 0;
  keys.forEach(([key], i) => (nodes += key.length - sharedLength(key, keys[i - 1]?.[0] ?? '')));
  const height = keys.reduce((most, [key]) => Math.max(most, key.length), 0);
  const trie: Trie = {
    bytes: new Uint8Array(nodes),
    depths: new Uint16Array(nodes),
    skips: new Int32Array(nodes).fill(nodes),
    tokens: new Int32Array(nodes).fill(-1),
    twins: new Int32Array(size).fill(-1),
    roots: new Int32Array(256).fill(-1),
    height,
  };
  const path = new Int32Array(height);
  let next = 0;
  let before = '';
  for (const [key, id] of keys) {
    const shared = sharedLength(key, before);
    for (let depth = shared; depth < before.length; depth++) trie.skips[path[depth]!] = next;
    for (let depth = shared; depth < key.length; depth++) {
      trie.bytes[next] = key.charCodeAt(depth);
      trie.depths[next] = depth;
      path[depth] = next++;
    }
    const last = path[key.length - 1]!;
    trie.twins[id] = trie.tokens[last]!;
    trie.tokens[last] = id;
    trie.roots[key.charCodeAt(0)] = path[0]!;
    before = key;
  }
  return trie;
}

/** @param node -1 for the root; @returns -1 where there is no such child */
export function childOf(trie: Trie, node: number, byte: number): number {
  if (node < 0) return trie.roots[byte] ?? -1;
  const end = trie.skips[node]!;
  for (let child = node + 1; child < end; child = trie.skips[child]!) if (trie.bytes[child] === byte) return child;
  return -1;
}
