/* mxfp8.c: OCP microscaling: 8-bit floats with one power-of-two scale per 32 (8.25 bits). */
#include "mx_planes.h"

extern const lb_quantizer_family lb_quantizer_mxfp8;

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    return mx_parse(&lb_quantizer_mxfp8, name, 8, MX_E4M3, "e5m2", MX_E5M2, out, why);
}

static const char *const members[] = { "mxfp8", "mxfp8-rceil", "mxfp8-even", "mxfp8-e5m2", NULL };
const lb_quantizer_family lb_quantizer_mxfp8 = {
    .name = "mxfp8",
    .about = "w = 2^(e - 127) * q; q e4m3, or e5m2 with -e5m2; e 8 bits per 32: floor(log2 max|w|) - 8 (e5m2: 15) + "
             "127, or with -rceil the least with which nothing clips, with -even after rounding max|w| to q's "
             "mantissa. Codes [N][K], then scales [N][K / 32].",
    .source = "OCP microscaling 1.0; torchao MXTensor",
    .members = members,
    .parse = parse,
};
