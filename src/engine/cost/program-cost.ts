/** The cost of a run of recorded programs, dispatch by dispatch, and the least time that a device can take for it. */
import type { Launch } from '../../gpu/recording.ts';
import type { Cost, ExpertTraffic } from '../../kernels/cost.ts';
import { costOf } from '../../kernels/costs.ts';
import { sum } from '../../util/math.ts';

export interface DispatchCost extends Cost {
  readonly label: string;
  readonly shader: string;
  readonly workgroups: number;
}

/** `layer 12 up` is of layer 12. */
const layerOf = (label: string): number | null => {
  const found = /^layer (\d+) /.exec(label)?.[1];
  return found === undefined ? null : Number(found);
};

/** @param trafficOf where tokens go in a layer, counted among all layers; null where it has no experts */
export function programCost(
  launches: readonly Launch[],
  trafficOf: (layer: number) => ExpertTraffic | null,
): DispatchCost[] {
  return launches.map((launch) => {
    const { label, shader, grid } = launch;
    const layer = layerOf(label);
    const cost = costOf(launch, layer === null ? null : trafficOf(layer));
    return { label, shader, workgroups: grid[0] * grid[1] * grid[2], ...cost };
  });
}

export interface TotalCost extends Cost {
  readonly dispatches: number;
  readonly workgroups: number;
}

export function totalCost(costs: readonly DispatchCost[]): TotalCost {
  const total = (key: keyof Cost | 'workgroups'): number => sum(costs.map((c) => c[key]));
  return {
    dispatches: costs.length,
    workgroups: total('workgroups'),
    weightBytes: total('weightBytes'),
    kvBytes: total('kvBytes'),
    activationBytes: total('activationBytes'),
    usefulFlops: total('usefulFlops'),
    issuedFlops: total('issuedFlops'),
  };
}

export const bytesOf = ({ weightBytes, kvBytes, activationBytes }: Cost): number =>
  weightBytes + kvBytes + activationBytes;

/** Work that lanes are kept from by padding: 1 where there is none. */
export const paddingFactor = ({ usefulFlops, issuedFlops }: Cost): number =>
  usefulFlops > 0 ? issuedFlops / usefulFlops : 1;

/** A device, as far as the cost model goes. */
export interface DeviceRates {
  readonly bytesPerSecond: number;
  /** One dispatch more. */
  readonly launchSeconds: number;
  /** Of f32 arithmetic; absent: it never binds. */
  readonly flopsPerSecond?: number;
}

export interface FloorTime {
  /** All bytes at full bandwidth. */
  readonly memorySeconds: number;
  /** All flops that are issued, at full rate. */
  readonly computeSeconds: number;
  readonly launchSeconds: number;
  /** Each dispatch takes the longer of its bytes and its flops, and its launch. */
  readonly seconds: number;
}

export function floorTime(costs: readonly DispatchCost[], device: DeviceRates): FloorTime {
  const { bytesPerSecond, launchSeconds, flopsPerSecond = Infinity } = device;
  const memory = costs.map((c) => bytesOf(c) / bytesPerSecond);
  const compute = costs.map((c) => c.issuedFlops / flopsPerSecond);
  const launches = costs.length * launchSeconds;
  return {
    memorySeconds: sum(memory),
    computeSeconds: sum(compute),
    launchSeconds: launches,
    seconds: sum(memory.map((m, i) => Math.max(m, compute[i]!))) + launches,
  };
}
