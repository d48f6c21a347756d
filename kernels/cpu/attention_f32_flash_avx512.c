/* attention_f32_flash_avx512.c: attention by tiles in f32. Compiled for avx512. */
#include "attention_f32_flash.h"
