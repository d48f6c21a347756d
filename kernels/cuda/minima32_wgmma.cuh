/* minima32_wgmma.cuh: q4_k and q5_k by wgmma: codes without an offset, minima by sums of x. */
#pragma once
#include "format_kquant.cuh"
#include "gemm_wgmma.cuh"

template <class F, int BITS> struct lb_wgmma_minima32 : F {
    static constexpr int SUM_GROUP = 32, SUM_STEPS = 2, SUM_SCALES = 1;
    struct scales { uint32_t v[2][2]; float d[2], dmin[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t w[4];
            lb_read_16(unit + F::CODES + (g + 8 * i) * 16, w);
            s.d[i] = lb_half_of(w[0], 0), s.dmin[i] = -lb_half_of(w[0], 1);
            s.v[i][0] = w[1] & 0x3f3f3f3fu, s.v[i][1] = w[2] & 0x3f3f3f3fu;
        }
    }
    static __device__ __forceinline__ void fragment(const typename F::context &c, const lb_raw &w, int step,
                                                    uint32_t a[4]) {
        lb_codes<BITS, 0>::fragment(c, w, step, a);
    }
    static __device__ __forceinline__ void scale(const scales &s, int group, float f[2]) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = s.d[i] * lb_byte_of(s.v[i][group / 4], group % 4);
    }
    static __device__ __forceinline__ void sum_scale(const scales &s, float f[2]) {
        f[0] = s.dmin[0], f[1] = s.dmin[1];
    }
    /* Lane t of four has minima 2 t and 2 t + 1. */
    static __device__ __forceinline__ void minima(const uint8_t *unit, int lane, uint32_t a[4]) {
        const int t = lane % 4;
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t w[4], v[4];
            lb_read_16(unit + F::CODES + (lane / 4 + 8 * i) * 16, w);
            lb_unpack_6(w + 1, v);
            uint32_t pair = __byte_perm(t < 2 ? v[2] : v[3], 0, t % 2 ? 0x4342u : 0x4140u);
            a[i] = a[2 + i] = lb_fma_bf16x2(pair | 0x43004300u, 0x3f803f80u, 0xc300c300u);
        }
    }
};
