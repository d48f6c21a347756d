/* gemm_int4wo_wgmma.cu: many rows of x with int4wo weights, groups of 32 to 256 in mma16, by wgmma. */
#include "format_int4wo.cuh"
#include "gemm_wgmma.cuh"

/* Zeros are bf16 as they are: products of theirs with the sums of x go to the total. */
template <int G> struct lb_wgmma_int4wo : lb_format_int4wo<G> {
    typedef lb_format_int4wo<G> F;
    static constexpr int SUM_GROUP = G, SUM_STEPS = 1, SUM_SCALES = 0;
    static __device__ __forceinline__ void fragment(const typename F::context &c, const lb_raw &w, int step,
                                                    uint32_t a[4]) {
        lb_codes<4, 8>::fragment(c, w, step, a);
    }
    static __device__ __forceinline__ void scale(const typename F::scales &s, int group, float f[2]) {
        LB_UNROLL for (int i = 0; i < 2; i++) f[i] = __uint_as_float(s.pair[i][group] << 16);
    }
    /* Group by group, then those again for the next piece of the sums. */
    static __device__ __forceinline__ void minima(const uint8_t *unit, int lane, uint32_t a[4]) {
        LB_UNROLL for (int i = 0; i < 2; i++) {
            const uint8_t *at = unit + F::CODES + (lane / 4 + 8 * i) * 4 * F::PAIRS;
            uint32_t w[2];
            if (F::PAIRS == 1) w[0] = w[1] = *(const uint32_t *)at;
            else lb_read_8(at + (F::PAIRS == 4 ? lane % 2 * 8 : 0), w);
            a[i] = a[2 + i] = __byte_perm(w[0], w[1], 0x7632u);
        }
    }
};

LB_WGMMA(lb_wgmma_int4wo<32>, lb_wgmma_int4wo<64>, lb_wgmma_int4wo<128>)

LB_CUDA_KERNEL(gemm_int4wo_wgmma) = {
    LB_WGMMA_FIELDS("gemm.int4wo.wgmma", "int4wo"),
};
