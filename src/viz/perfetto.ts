/** Steps as a Chrome trace (the JSON of chrome://tracing), and to the Perfetto viewer. Token texts stay here. */
import type { Trace } from '../trace/trace.ts';

const VIEWER = 'https://ui.perfetto.dev';
/** The viewer answers PING when it is ready: https://perfetto.dev/docs/visualization/deep-linking-to-perfetto-ui */
const PING_MS = 200;
const GIVE_UP_MS = 30_000;
const LANES = { prefill: 1, decode: 2 } as const;

/** Complete events in microseconds, one lane a phase, waiting for experts in a third. */
export function chromeTrace({ steps, timing, model }: Trace): string {
  const events: object[] = Object.entries({ prompt: 1, answer: 2, 'waiting for experts': 3 }).map(([name, tid]) => ({
    ph: 'M',
    name: 'thread_name',
    pid: 1,
    tid,
    args: { name },
  }));
  let at = 0;
  steps.forEach(({ phase, tokens, position }, i) => {
    const dur = 1000 * (timing?.ms[i] ?? 0);
    const args = { position, tokens, disk: timing?.diskBytes[i] ?? 0, network: timing?.networkBytes[i] ?? 0 };
    const common = { ph: 'X', pid: 1, ts: at };
    events.push({ ...common, name: `${phase} ${position}`, tid: LANES[phase], dur, args });
    const stall = 1000 * (timing?.stallMs[i] ?? 0);
    if (stall > 0) events.push({ ...common, name: 'waiting', tid: 3, dur: stall });
    at += dur;
  });
  return JSON.stringify({ traceEvents: events, displayTimeUnit: 'ms', otherData: { model: model.name } });
}

export function sendToPerfetto(trace: Trace): void {
  const viewer = window.open(VIEWER);
  if (!viewer) return;
  const buffer = new TextEncoder().encode(chromeTrace(trace)).buffer;
  const stop = (): void => {
    clearInterval(pings);
    removeEventListener('message', answer);
  };
  const answer = ({ data, source, origin }: MessageEvent): void => {
    if (source !== viewer || origin !== VIEWER || data !== 'PONG') return;
    stop();
    viewer.postMessage({ perfetto: { buffer, title: `webmoe: ${trace.model.name}` } }, VIEWER);
  };
  addEventListener('message', answer);
  const pings = setInterval(() => viewer.postMessage('PING', VIEWER), PING_MS);
  setTimeout(stop, GIVE_UP_MS);
}
