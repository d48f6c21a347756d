/* act_f8_avx512.h: activations as e4m3 numbers, kept as bf16 (exact), what the kernels of dynamic float8 recipes read.
 *
 * The values are LB_ACT_F8_ROW's, _128's or _TENSOR's, bit for bit. A row of K is padded with zeros to Kp.
 *   row, tensor: Kp bf16 (Kp a multiple of 32), then the f32 scale;
 *   blocks: for each 128 of K (a multiple of it) 128 bf16, the f32 scale, and nothing up to a multiple of 64 bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct lb_quantizer;

#define LB_ACT_KIND_F8_ROW "f8_row/bf16"
#define LB_ACT_KIND_F8_128 "f8_128/bf16"
enum { LB_ACT_F8_BLOCK_BYTES = 256 + 64 };

/* max|x| of n numbers, none for NaN. */
float lb_act_f8_amax(const float *x, int64_t n);
size_t lb_act_f8_row_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_f8_row_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
/* The same with a scale for this amax, of all rows. */
void lb_act_f8_scaled_prepare(const float *x, int64_t k, float amax, void *act);
size_t lb_act_f8_128_bytes(const struct lb_quantizer *q, int64_t k);
void lb_act_f8_128_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act);
