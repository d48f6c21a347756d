/* activation_f32_portable.c: relu, sigmoid, leaky_relu, relu6, gelu, gelu_tanh, silu, hardswish. Compiled for
 * portable. */
#include "activation_f32.h"
