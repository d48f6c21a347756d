/* mxfp6.c: OCP microscaling: 6-bit floats with one power-of-two scale per 32 (6.25 bits). */
#include "mx_planes.h"

extern const lb_quantizer_family lb_quantizer_mxfp6;

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    return mx_parse(&lb_quantizer_mxfp6, name, 6, MX_E2M3, "e3m2", MX_E3M2, out, why);
}

static const char *const members[] = { "mxfp6", "mxfp6-rceil", "mxfp6-e3m2", NULL };
const lb_quantizer_family lb_quantizer_mxfp6 = {
    .name = "mxfp6",
    .about = "w = 2^(e - 127) * q; q e2m3, or e3m2 with -e3m2, four in three bytes, the first in the lowest bits; e 8 "
             "bits per 32: floor(log2 max|w|) - 2 (e3m2: 4) + 127, or with -rceil the least with which nothing clips, "
             "with -even after rounding max|w| to q's mantissa. Codes [N][K], then scales [N][K / 32].",
    .source = "OCP microscaling 1.0; torchao MXTensor, which keeps a code a byte",
    .members = members,
    .parse = parse,
};
