/* mxfp4_blocks.h: MXFP4 as Hugging Face's gpt-oss checkpoints have it, as a quantized tensor. */
#pragma once
#include "../tensor.h"

/* blocks u8 [.., R, G, 16], scales u8 [.., R, G]: each 16 bytes are 32 values of a row, byte j the values 2 j (low
 * nibble) and 2 j + 1; a scale's value is 2^(s - 127). *out: mxfp4 [.., N, 32 G], a new tensor of the rows first, first
 * + step, ... of each matrix (gate and up stand by turns in one). Values are those of the blocks, bit for bit.
 * LB_EINVAL: other shapes, strided tensors, or a step that does not divide R. */
lb_status lb_mxfp4_from_blocks(const lb_tensor *blocks, const lb_tensor *scales, int64_t first, int64_t step,
                               lb_tensor **out);
