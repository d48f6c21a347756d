/* quantizer.h: weight formats. One file per format (or family of parameters) in kernels/quant/. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

/* One instance: a format with its parameters filled in ("int4wo-128": family int4wo, group 128).
 * All functions are pure and thread-safe; a matrix is [rows N][K], K contiguous, stored in size_bytes(N, K)
 * bytes in whatever planes the format's own documentation says. */
typedef struct lb_quantizer lb_quantizer;
struct lb_quantizer {
    char name[48];          /* the full recipe name, "int4wo-128" */
    int64_t k_multiple;     /* K must be a multiple of this (block or group) */
    int64_t group;          /* elements per scale, for showing */
    int bits;               /* nominal bits of a code */
    int64_t param[4];       /* the family's own */
    const struct lb_quantizer_family *family;

    /* Bytes of an N x K matrix with all metadata. N, K >= 0, K % k_multiple == 0, overflow checked by the caller
     * for N*K*8 bytes. */
    size_t (*size_bytes)(const lb_quantizer *q, int64_t n, int64_t k);
    /* Quantizes rows [row0, row1) of src (f32, row stride K) into the matrix at dst. Callers may run disjoint row
     * ranges from several threads at once. Non-finite input gives finite output (documented per format). */
    void (*quantize)(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst);
    /* Optional, both or neither: formats whose rows share something (a scale of the whole matrix or of a block of
     * rows). Before quantize() of any row, survey() has seen every row, in any split (it leaves what it finds in bytes
     * of dst that belong to that row), and then settle(), called once, has made of it what the rows share. */
    void (*survey)(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst);
    void (*settle)(const lb_quantizer *q, int64_t n, int64_t k, void *dst);
    /* Optional, both or neither: formats that can take sample activations into account. learn() makes of x [m][K] (f32,
     * dense) what quantize_learned(), in the place of quantize(), reads for any rows of any matrix of that K; malloc'd,
     * freed by the caller; NULL = no memory, or x tells nothing. quantize_learned() is false where memory fails. */
    void *(*learn)(const lb_quantizer *q, const float *x, int64_t m, int64_t k);
    bool (*quantize_learned)(const lb_quantizer *q, const void *learned, const float *src, int64_t n, int64_t k,
                             int64_t row0, int64_t row1, void *dst);
    /* Expands rows [row0, row1) to f32; dst row stride K, dst[0] is row row0. */
    void (*dequantize)(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst);
    /* Bytes [*offset, *offset + *length) that hold row `row` in its main plane, for tests that corrupt a block. */
    void (*row_span)(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length);
    /* Optional (NULL = never): re-encodes rows [row0, row1) of a `from` matrix as `to`, both of this family, without
     * changing any value; false, and nothing written, where that is impossible. */
    bool (*widen)(const lb_quantizer *from, const lb_quantizer *to, const void *src, int64_t n, int64_t k, int64_t row0,
                  int64_t row1, void *dst);
};

/* A family parses names and knows its members. */
typedef struct lb_quantizer_family {
    const char *name;        /* "q4_k", "int4wo" */
    const char *about;       /* formula and byte layout in a few lines, for `help` and the docs */
    const char *source;      /* who defined it */
    const char *const *members;  /* full names that list and the tests walk; NULL-terminated */
    /* Fills *out from a full recipe name; false if the name is not of this family or its parameters are out of
     * range (then `why` (64 bytes) may say more; empty = not this family). */
    bool (*parse)(const char *name, lb_quantizer *out, char why[64]);
} lb_quantizer_family;

/* Finds and interns "q4_k", "int4wo-128". Unknown: LB_EINVAL with the nearest names. */
lb_status lb_quantizer_find(const char *name, const lb_quantizer **out);
/* survey() of all rows and settle(), where the format has them: what stands before quantize(). On this thread. */
void lb_quantizer_prepare(const lb_quantizer *q, const float *src, int64_t n, int64_t k, void *dst);
/* All families, NULL-terminated (kernels/registry.def). */
extern const lb_quantizer_family *const lb_quantizer_families[];

double lb_quantizer_bits_per_weight(const lb_quantizer *q, int64_t n, int64_t k);
