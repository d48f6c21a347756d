/* gemm_q2_k_wgmma.cu: many rows of x with q2_k weights in mma16, by wgmma. */
#include "format_q2_k.cuh"
#include "gemm_wgmma.cuh"

/* sc q has 6 bits, so that it is a bf16: the products have d only, once a unit. Minima by sums of x, times dmin. */
struct lb_wgmma_q2_k : lb_format_q2_k {
    static constexpr int GROUP = 256, SUM_GROUP = 16, SUM_STEPS = 3, SUM_SCALES = 1;
    struct scales { const uint32_t *d; }; /* read when they are used: registers are short */
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        s.d = (const uint32_t *)(unit + CODES + LB_ROWS * 16 + g * 4);
    }
    static __device__ __forceinline__ void read_tile(const uint8_t *unit, int tile, int lane, lb_raw &w) {
        read(unit + tile * TILE_BYTES, lane, w);
        LB_UNROLL for (int i = 0; i < 2; i++)
            w.scales[i] = *(const uint32_t *)(unit + CODES + (lane / 4 + 8 * i) * 16 + tile * 4);
    }
    /* sc (128 + q) - 128 sc */
    static __device__ __forceinline__ void fragment(const context &, const lb_raw &w, int step, uint32_t a[4]) {
        uint32_t sc[2], less[2];
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t v = lb_and_or(__byte_perm(w.scales[i], 0, 0x4040u | (uint32_t)step * 0x0101u), 0x000f000fu,
                                   0x43004300u);
            sc[i] = lb_fma_bf16x2(v, 0x3f803f80u, 0xc300c300u);
            less[i] = lb_fma_bf16x2(v, 0xc300c300u, 0x46804680u);
        }
        LB_UNROLL for (int reg = 0; reg < 4; reg++)
            a[reg] = lb_fma_bf16x2(placed<0>(w, step, reg, 0x43004300u), sc[reg % 2], less[reg % 2]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int, float f[2]) {
        f[0] = lb_half_of(s.d[0], 0), f[1] = lb_half_of(s.d[8], 0);
    }
    static __device__ __forceinline__ void sum_scale(const scales &s, float f[2]) {
        f[0] = -lb_half_of(s.d[0], 1), f[1] = -lb_half_of(s.d[8], 1);
    }
    static __device__ __forceinline__ void minima(const uint8_t *unit, int lane, uint32_t a[4]) {
        LB_UNROLL for (int reg = 0; reg < 4; reg++) {
            const uint8_t *at = unit + CODES + (lane / 4 + 8 * (reg % 2)) * 16 + lane % 4 * 2 + 8 * (reg / 2);
            uint32_t v = __byte_perm(*(const uint16_t *)(const void *)at, 0, 0x4140u) >> 4;
            a[reg] = lb_fma_bf16x2(lb_and_or(v, 0x000f000fu, 0x43004300u), 0x3f803f80u, 0xc300c300u);
        }
    }
};

LB_WGMMA(lb_wgmma_q2_k)

LB_CUDA_KERNEL(gemm_q2_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q2_k.wgmma", "q2_k"),
};
