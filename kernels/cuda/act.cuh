/* act.cuh: activation functions on the device; as the operation's oracle defines them. */
#pragma once
#include "engine/kernel_cuda.h"

__device__ static inline float lb_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ static inline float lb_silu(float x) { return x / (1.0f + expf(-x)); }

struct lb_activate {
    int kind;
    float slope;
    __device__ float operator()(float x, float) const {
        switch (kind) {
        case LB_ACTIVATION_RELU: return x < 0 ? 0.0f : x;
        case LB_ACTIVATION_SIGMOID: return lb_sigmoid(x);
        case LB_ACTIVATION_LEAKY_RELU: return x < 0 ? x * slope : x;
        case LB_ACTIVATION_RELU6: return x < 0 ? 0.0f : x > 6 ? 6.0f : x;
        case LB_ACTIVATION_GELU: return x * (0.5f * erfcf(-x * 0.70710678118f));
        case LB_ACTIVATION_GELU_TANH: return x / (1.0f + expf(-1.5957691216f * fmaf(0.044715f * x * x, x, x)));
        case LB_ACTIVATION_SILU: return lb_silu(x);
        case LB_ACTIVATION_HARDSWISH: {
            float g = (x + 3.0f) / 6.0f;
            g = g < 0 ? 0.0f : g;
            return x * (g > 1 ? 1.0f : g);
        }
        default: return x;
        }
    }
};
