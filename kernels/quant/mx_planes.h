/* mx_planes.h: what mxfp8 and mxfp6 share: a plane of codes and one of power-of-two scales per 32.
 *
 * Planes: codes [N][K] of 8 bits, or of 6 with four in three bytes, the first in the lowest bits; from the next
 * multiple of 64 bytes e8m0 scales [N][K / 32]. param: element (index into lb_mx_elements), mode. */
#pragma once
#include <stdio.h>

#include "minifloat.h"

enum { MX_BLOCK = 32, MX_E4M3 = 0, MX_E5M2, MX_E2M3, MX_E3M2 };

static size_t codes_bytes(const lb_quantizer *q, int64_t k) { return (size_t)(k / MX_BLOCK) * (size_t)q->bits * 4; }
static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return lb_plane_at((size_t)n * codes_bytes(q, k)) + (size_t)n * (size_t)(k / MX_BLOCK);
}

LB_INLINE void put_blocks(const float *src, int64_t count, const lb_mini t, const int bits, int mode, uint8_t *codes,
                          uint8_t *scales) {
    for (int64_t b = 0; b < count; b++, src += MX_BLOCK, codes += 4 * bits) {
        float x[MX_BLOCK];
        uint8_t q[MX_BLOCK];
        lb_clean_copy(src, MX_BLOCK, x);
        scales[b] = lb_mx_scale(t, mode, lb_amax(x, MX_BLOCK));
        float inverse = lb_mx_inverse(scales[b]);
        for (int i = 0; i < MX_BLOCK; i++) q[i] = lb_mini_encode(t, x[i] * inverse);
        if (bits == 6) lb_pack_6bit(q, MX_BLOCK, codes);
        else memcpy(codes, q, MX_BLOCK);
    }
}

LB_INLINE void get_blocks(const uint8_t *codes, const uint8_t *scales, int64_t count, const lb_mini t, const int bits,
                          float *dst) {
    for (int64_t b = 0; b < count; b++, dst += MX_BLOCK, codes += 4 * bits) {
        uint8_t q[MX_BLOCK];
        float d = lb_e8m0_value(scales[b]);
        if (bits == 6) lb_unpack_6bit(codes, MX_BLOCK, q);
        else memcpy(q, codes, MX_BLOCK);
        for (int i = 0; i < MX_BLOCK; i++) dst[i] = d * lb_mini_decode(t, q[i]);
    }
}

/* Loops of their own for each element, so that its shifts are constants. */
LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    int64_t count = (row1 - row0) * (k / MX_BLOCK);
    uint8_t *codes = (uint8_t *)dst + (size_t)row0 * codes_bytes(q, k);
    uint8_t *scales = (uint8_t *)dst + lb_plane_at((size_t)n * codes_bytes(q, k)) + row0 * (k / MX_BLOCK);
    int mode = (int)q->param[1];
    src += row0 * k;
    switch (q->param[0]) {
    case MX_E4M3: put_blocks(src, count, LB_E4M3, 8, mode, codes, scales); break;
    case MX_E5M2: put_blocks(src, count, LB_E5M2, 8, mode, codes, scales); break;
    case MX_E2M3: put_blocks(src, count, LB_E2M3, 6, mode, codes, scales); break;
    default: put_blocks(src, count, LB_E3M2, 6, mode, codes, scales);
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    int64_t count = (row1 - row0) * (k / MX_BLOCK);
    const uint8_t *codes = (const uint8_t *)src + (size_t)row0 * codes_bytes(q, k);
    const uint8_t *scales = (const uint8_t *)src + lb_plane_at((size_t)n * codes_bytes(q, k)) + row0 * (k / MX_BLOCK);
    switch (q->param[0]) {
    case MX_E4M3: get_blocks(codes, scales, count, LB_E4M3, 8, dst); break;
    case MX_E5M2: get_blocks(codes, scales, count, LB_E5M2, 8, dst); break;
    case MX_E2M3: get_blocks(codes, scales, count, LB_E2M3, 6, dst); break;
    default: get_blocks(codes, scales, count, LB_E3M2, 6, dst);
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = codes_bytes(q, k);
    *offset = (size_t)row * *length;
}

/* "<stem>" is the element `plain`, "<stem>-<suffix>" the element `other`; a mode may follow either. */
static bool mx_parse(const lb_quantizer_family *family, const char *name, int bits, int plain, const char *suffix,
                     int other, lb_quantizer *out, char why[64]) {
    char stem[32];
    int mode, element = other;
    why[0] = 0;
    snprintf(stem, sizeof stem, "%s-%s", family->name, suffix);
    if (strncmp(name, stem, strlen(stem))) {
        snprintf(stem, sizeof stem, "%s", family->name);
        element = plain;
    }
    if (!lb_mx_parse(name, stem, &mode, why)) return false;
    *out = (lb_quantizer){ .k_multiple = MX_BLOCK, .group = MX_BLOCK, .bits = bits, .param = { element, mode },
                           .family = family, .size_bytes = size_bytes, .quantize = quantize, .dequantize = dequantize,
                           .row_span = row_span };
    snprintf(out->name, sizeof out->name, "%s%s", stem, lb_mx_suffixes[mode]);
    return true;
}
