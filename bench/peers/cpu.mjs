// Processor time of the programs that this one started: on a software adapter that is what a run costs, however busy the machine is.
import { readdirSync, readFileSync } from 'node:fs';

/** Of Linux, on every machine that Chromium runs on. */
const TICKS_PER_SECOND = 100;

/** Parent and ticks of a process, its ended children included; null when it has just gone. */
function stat(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    const [parent, user, system, userOfEnded, systemOfEnded] = [1, 11, 12, 13, 14].map((i) => Number(fields[i]));
    return { parent, ticks: user + system + userOfEnded + systemOfEnded };
  } catch {
    return null;
  }
}

/** @returns milliseconds so far */
export function cpuOfChildren() {
  const all = new Map();
  for (const name of readdirSync('/proc')) {
    const found = /^\d+$/.test(name) && stat(name);
    if (found) all.set(Number(name), found);
  }
  const isOurs = (pid) => pid === process.pid || (all.has(pid) && isOurs(all.get(pid).parent));
  let ticks = 0;
  for (const [pid, { parent, ticks: own }] of all) if (pid !== process.pid && isOurs(parent)) ticks += own;
  return (1000 * ticks) / TICKS_PER_SECOND;
}
