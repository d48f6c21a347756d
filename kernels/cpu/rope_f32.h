/* rope_f32.h: the rope kernels: a row's sines and cosines once, then every head of it. */
#include "vec.h"

enum { CHUNK = 128 }; /* frequencies at a time: sines and cosines of a row stay in L1 */

/* cos and sin of position * frequency. The angle, its distance from a multiple of pi / 2 (pi / 2 in two parts, whose
 * products are exact for angles below 2^20) and the polynomials (Taylor, to x^13 and x^12) are in f64, without
 * branches: the compiler vectorises. */
static void angles(double position, const float *restrict f, int64_t n, float scale, float *restrict c,
                   float *restrict s) {
    for (int64_t i = 0; i < n; i++) {
        double a = position * (double)f[i], k = a * 0.63661977236758134308 + 6755399441055744.0;
        uint64_t bits;
        memcpy(&bits, &k, 8);
        k -= 6755399441055744.0;
        double x = (a - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11, z = x * x;
        double sn = x * (1 + z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 +
            z * (-1.0 / 39916800 +
                         z * (1.0 / 6227020800.0)))))));
        double cs = 1 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                         z * (1.0 / 479001600.0))))));
        bool swap = bits & 1;
        double so = swap ? cs : sn, co = swap ? sn : cs;
        s[i] = (float)(bits & 2 ? -so : so) * scale;
        c[i] = (float)((bits + 1) & 2 ? -co : co) * scale;
    }
}

static void rotate_halves(float *restrict x, float *restrict y, const float *restrict c, const float *restrict s,
                          int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float a = x[i], b = y[i];
        x[i] = a * c[i] - b * s[i];
        y[i] = b * c[i] + a * s[i];
    }
}

static void rotate_pairs(float *restrict x, const float *restrict c, const float *restrict s, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * c[i] - b * s[i];
        x[2 * i + 1] = b * c[i] + a * s[i];
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_ROPE_X), *f = lb_arg(a, LB_ROPE_FREQUENCIES);
    const int32_t *positions = lb_tensor_data(lb_arg(a, LB_ROPE_POSITIONS));
    int64_t heads = x->dims[1], n = f->dims[0], begin, end, pieces = row_pieces(x->dims[0], heads * n, l->parts);
    bool pairs = a->p[LB_ROPE_P_INTERLEAVED] != 0;
    float c[CHUNK], s[CHUNK];
    my_rows(l, x->dims[0] * pieces, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t t = i / pieces, from = heads * (i % pieces) / pieces, to = heads * (i % pieces + 1) / pieces;
        for (int64_t at = 0; at < n; at += CHUNK) {
            int64_t m = n - at < CHUNK ? n - at : CHUNK;
            angles(positions[t], lb_tensor_f32(f) + at, m, (float)a->p[LB_ROPE_P_SCALE], c, s);
            for (int64_t h = from; h < to; h++) {
                float *row = lb_row_f32(x, t * heads + h);
                if (pairs) rotate_pairs(row + 2 * at, c, s, m);
                else rotate_halves(row + at, row + at + n, c, s, m);
            }
        }
    }
}

const lb_kernel KERNEL_SYMBOL(rope_f32) = {
    .name = "rope.f32." ISA_TEXT, .op = "rope", .device = "cpu",
    .about = "a row's sines and cosines by f64 polynomials, once for all heads; rows, or their heads, split over"
             " the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "sine and cosine to half an ulp of f32, two products and a sum: NMSE of 1e-14",
    .priority = ISA_PRIORITY, .launch = launch,
};
