import { describe, expect, it } from 'vitest';
import { loopsOf, turnOf } from '../../../bench/isa-listing.mjs';

/** Two loops in one: the inner one has three instructions, the outer one five with it. */
const LISTING = `BB0:
	s_mov_b32 s0, 0                       ; be800080
BB1:
	s_mov_b32 s1, 0                       ; be810080
	s_delay_alu instid0(VALU_DEP_1)       ; bf870001
BB2:
	v_fmac_f32_e32 v1, v2, v3             ; 56020702
	s_waitcnt vmcnt(0)                    ; bf890000
	s_cmp_lg_u32 s1, 4                    ; bf078401
	s_cbranch_scc1 BB2                    ; bfa2fffd
BB3:
	s_cbranch_scc1 BB1                    ; bfa2fffa
	s_cbranch_execz BB4                   ; bfa50001
BB4:
	s_endpgm                              ; bfb00000
`;

describe('loops of a listing', () => {
  it('counts instructions, but neither hints nor branches forward', () => {
    expect(loopsOf(LISTING)).toEqual([
      { begin: 2, end: 5 },
      { begin: 1, end: 6 },
    ]);
  });
  it.each([
    [[1], 5],
    [[2], 8],
    [[8], 26],
  ])('repeats an inner loop %j times', (trips, turn) => {
    expect(turnOf(loopsOf(LISTING), trips)).toBe(turn);
  });
  it('finds none where all is unrolled', () => {
    expect(turnOf(loopsOf('BB0:\n\tv_fmac_f32_e32 v1, v2, v3\n\ts_endpgm\n'), [])).toBe(0);
  });
});
