/* npy.h: NumPy's array files. f2 f4 f8 i1 u1 i4 i8 b1 (as u8), C and Fortran order, both byte orders. */
#pragma once
#include "../tensor.h"
#include "file.h"

/* Reads one array; every size is checked against src->left before memory is taken. Rank 0 becomes [1]. */
lb_status lb_npy_read(lb_source *src, lb_device *d, lb_tensor **out);
lb_status lb_npy_load(const char *path, lb_device *d, lb_tensor **out);

/* Bytes that go before the data (version 1.0, a multiple of 64): malloc'd. NumPy has no bf16 or quantized type:
 * LB_EUNSUPPORTED with a hint. */
lb_status lb_npy_header(const lb_tensor *t, char **out, size_t *bytes);
lb_status lb_npy_save(const char *path, const lb_tensor *t);
