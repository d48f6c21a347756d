/* attention_f32_flash_avx2.c: attention by tiles in f32. Compiled for avx2. */
#include "attention_f32_flash.h"
