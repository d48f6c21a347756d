/* act_f8_avx2.h: activations as e4m3 numbers times their scale, in f32, what the AVX2 kernels of dynamic float8 recipes
 * read.
 *
 * The numbers and scales are LB_ACT_F8_ROW's, _128's or _TENSOR's, bit for bit; their product is rounded to f32. Rows
 * are padded with zeros to a multiple of 32. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

#define LB_ACT_KIND_F8_F32_ROW "f8_row/f32"
#define LB_ACT_KIND_F8_F32_128 "f8_128/f32"

/* max|x| of n numbers, none for NaN. */
float lb_act_f8_f32_amax(const float *x, int64_t n);
size_t lb_act_f8_f32_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_f8_f32_row_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
void lb_act_f8_f32_128_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* With a scale for this amax, of all rows. */
void lb_act_f8_f32_scaled_prepare(const float *x, int64_t k, float amax, void *act);
