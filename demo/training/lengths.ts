/** Of a training run, in steps, and of its experts: apart from what trains, which comes later. */
export const DENSE_STEPS = 100;
/** Of both, the dense layer and the experts. */
export const STEPS = 500;
/** F: too narrow for four rules, wide enough for one. */
export const WIDTH = 4;
