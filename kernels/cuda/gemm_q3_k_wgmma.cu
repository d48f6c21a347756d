/* gemm_q3_k_wgmma.cu: many rows of x with q3_k weights in mma16, by wgmma. */
#include "format_q3_k.cuh"
#include "gemm_wgmma.cuh"

/* (sc - 32) (q - 4) has 8 bits, so that it is a bf16: the products have d only, once a unit. */
struct lb_wgmma_q3_k : lb_format_q3_k {
    static constexpr int GROUP = 256;
    struct scales { float d[2]; };
    static __device__ __forceinline__ void read_scales(const uint8_t *unit, int g, scales &s) {
        LB_UNROLL for (int i = 0; i < 2; i++)
            s.d[i] = lb_half_of(*(const uint16_t *)(unit + CODES + LB_ROWS * 12 + (g + 8 * i) * 2), 0);
    }
    static __device__ __forceinline__ void read_tile(const uint8_t *unit, int tile, int lane, lb_raw &w) {
        read(unit + tile * TILE_BYTES, lane, w);
        LB_UNROLL for (int i = 0; i < 2; i++) {
            const uint32_t *at = (const uint32_t *)(unit + CODES + (lane / 4 + 8 * i) * 12);
            if (tile < 3) w.scales[i] = at[tile];
            else w.scales[i] = lb_and_or(at[0] >> 6, 0x03030303u,
                                         lb_and_or(at[1] >> 4, 0x0c0c0c0cu, at[2] >> 2 & 0x30303030u));
        }
    }
    /* With sc' = sc - 32: sc' (8 + q) - 12 sc', the code in the upper bits of the mantissa, so that 12 sc' is exact,
     * too. */
    static __device__ __forceinline__ void fragment(const context &, const lb_raw &w, int step, uint32_t a[4]) {
        uint32_t sc[2], less[2];
        LB_UNROLL for (int i = 0; i < 2; i++) {
            uint32_t v = lb_and_or(__byte_perm(w.scales[i], 0, 0x4040u | (uint32_t)step * 0x0101u), 0x003f003fu,
                                   0x43004300u);
            sc[i] = lb_fma_bf16x2(v, 0x3f803f80u, 0xc320c320u);   /* - 160 */
            less[i] = lb_fma_bf16x2(v, 0xc140c140u, 0x44f044f0u); /* * -12 + 1920 */
        }
        LB_UNROLL for (int reg = 0; reg < 4; reg++)
            a[reg] = lb_fma_bf16x2(placed<4>(w, step, reg, 0x41004100u), sc[reg % 2], less[reg % 2]);
    }
    static __device__ __forceinline__ void scale(const scales &s, int, float f[2]) { f[0] = s.d[0], f[1] = s.d[1]; }
};

LB_WGMMA(lb_wgmma_q3_k)

LB_CUDA_KERNEL(gemm_q3_k_wgmma) = {
    LB_WGMMA_FIELDS("gemm.q3_k.wgmma", "q3_k"),
};
