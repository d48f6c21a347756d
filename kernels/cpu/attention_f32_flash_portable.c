/* attention_f32_flash_portable.c: attention by tiles in f32. Compiled for portable. */
#include "attention_f32_flash.h"
