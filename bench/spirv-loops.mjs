// What a browser's compiler put into a shader's loops: index clamps, and the 64-bit counters by which it ends loops that it cannot prove to be finite.

const result = (line) => /(%\w+) = (Op\w+)/.exec(line);

function functionsOf(text) {
  const found = new Map();
  let lines;
  for (const line of text.split('\n')) {
    const made = result(line);
    if (made?.[2] === 'OpFunction') found.set(made[1], (lines = []));
    else if (line.includes('OpFunctionEnd')) lines = undefined;
    else lines?.push(line);
  }
  return found;
}

/** A loop is the lines from its header's merge instruction to the label of the block after it. */
function loopsIn(lines, guard) {
  const label = (id) => lines.findIndex((line) => new RegExp(`${id} = OpLabel`).test(line));
  let isGuarded = false;
  const loops = [];
  lines.forEach((line, at) => {
    if (guard && new RegExp(`OpStore %\\w+ ${guard}$`).test(line.trim())) isGuarded = true;
    const merge = /OpLoopMerge (%\w+)/.exec(line);
    if (!merge) return;
    loops.push({ begin: at, end: label(merge[1]), isGuarded });
    isGuarded = false;
  });
  return loops;
}

/** Indices that go from a minimum straight into an access, as Tint clamps them; a shader's own minimum is computed with first. */
function clampsIn(lines) {
  const minima = new Set();
  let clamps = 0;
  for (const line of lines) {
    const made = result(line);
    if (made?.[2] === 'OpExtInst' && / U?Min /.test(line)) minima.add(made[1]);
    if (made?.[2] === 'OpAccessChain')
      clamps += line.split(/\s+/).filter((word) => word !== made[1] && minima.has(word)).length;
  }
  return clamps;
}

/**
 * @param text SPIR-V of one shader
 * @returns the loops that contain no other, called functions included: `isGuarded`, and the `clamps` of one trip
 */
export function innerLoops(text) {
  const functions = functionsOf(text);
  const most = /(%\w+) = OpConstantComposite %v2uint %uint_4294967295 %uint_4294967295/.exec(text)?.[1];
  const callsIn = (lines) =>
    lines.flatMap((line) => {
      const call = /OpFunctionCall %\w+ (%\w+)/.exec(line);
      return call ? [functions.get(call[1])] : [];
    });
  const hasLoop = (lines) =>
    lines.some((line) => line.includes('OpLoopMerge')) || callsIn(lines).some((called) => hasLoop(called));
  const clamps = (lines) => clampsIn(lines) + callsIn(lines).reduce((sum, called) => sum + clamps(called), 0);
  return [...functions.values()].flatMap((lines) =>
    loopsIn(lines, most)
      .map(({ begin, end, isGuarded }) => ({ body: lines.slice(begin + 1, end), isGuarded }))
      .filter(({ body }) => !hasLoop(body))
      .map(({ body, isGuarded }) => ({ isGuarded, clamps: clamps(body) })),
  );
}
