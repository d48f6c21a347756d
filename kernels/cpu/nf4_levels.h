/* nf4_levels.h: NF4's levels as bf16, for the kernels of nf4 and nf4-dq. */
#pragma once

/* -1 -.6962 -.5251 -.3949 -.2844 -.1848 -.0911 0 .0796 .1609 .2461 .3379 .4407 .5626 .7230 1, rounded. */
#define NF4_LEVEL(c)                                                                                                 \
    ((c) < 8 ? ((c) < 4 ? ((c) < 2 ? ((c) ? 0xbf32 : 0xbf80) : (c) == 2 ? 0xbf06 : 0xbeca)                           \
                        : ((c) < 6 ? ((c) == 4 ? 0xbe92 : 0xbe3d) : (c) == 6 ? 0xbdbb : 0))                          \
             : ((c) < 12 ? ((c) < 10 ? ((c) == 8 ? 0x3da3 : 0x3e25) : (c) == 10 ? 0x3e7c : 0x3ead)                   \
                         : ((c) < 14 ? ((c) == 12 ? 0x3ee2 : 0x3f10) : (c) == 14 ? 0x3f39 : 0x3f80)))

#define NF4_F32(c) (uint32_t)(NF4_LEVEL(c)) << 16
/* The bits of f32. */
#define NF4_LEVELS_F32                                                                                               \
    { NF4_F32(0), NF4_F32(1), NF4_F32(2), NF4_F32(3), NF4_F32(4), NF4_F32(5), NF4_F32(6), NF4_F32(7), NF4_F32(8),    \
      NF4_F32(9), NF4_F32(10), NF4_F32(11), NF4_F32(12), NF4_F32(13), NF4_F32(14), NF4_F32(15) }
