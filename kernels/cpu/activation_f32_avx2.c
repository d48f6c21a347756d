/* activation_f32_avx2.c: relu, sigmoid, leaky_relu, relu6, gelu, gelu_tanh, silu, hardswish. Compiled for avx2. */
#include "activation_f32.h"
