// precision_gbench.cpp: the function of precision.lua under Google Benchmark.
#include <benchmark/benchmark.h>

extern "C" void add_scaled(const float *x, float scale, float *y, long n);

static void add_scaled_bench(benchmark::State &state) {
    alignas(64) static float x[4096], y[4096];     // a cache line, as luabench's tensors are
    for (int i = 0; i < 4096; i++) x[i] = 1e-6f, y[i] = 1.0f;
    for (auto _ : state) {
        add_scaled(x, 1e-6f, y, 4096);
        benchmark::DoNotOptimize(y);
        benchmark::ClobberMemory();
    }
}
BENCHMARK(add_scaled_bench);
BENCHMARK_MAIN();
