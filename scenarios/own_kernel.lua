-- own_kernel.lua: a kernel of one's own beside the built-in ones: the same check against f64, the same clock, one
-- table.
--   luabench scenarios/own_kernel.lua
--   luabench scenarios/own_kernel.lua --m 1,64 --ab       # by turns with the built-in one: faster, slower, the same?
--   luabench scenarios/own_kernel.lua --device cuda:0        # the CUDA source below, through NVRTC
-- Copy it, change the function. A wrong result, a crash, an endless loop or a typing error costs its rows and no
-- others.
local lb = require "luabench"

-- Parameters are told apart by their names: operands (help "gemm" lists them), sizes as the help names them (x is [M,
-- K], w [N, K]), and begin and end, this thread's share of what `split` says.
local C = [[
void kernel(const float *x, const float *w, float *out, int M, int N, int K, int begin, int end) {
    for (int n = begin; n < end; n++)
        for (int m = 0; m < M; m++) {
            float lanes[64] = { 0 }, sum = 0;
            int k = 0;
            for (; k + 64 <= K; k += 64)
                for (int i = 0; i < 64; i++) lanes[i] += x[(size_t)m * K + k + i] * w[(size_t)n * K + k + i];
            for (; k < K; k++) sum += x[(size_t)m * K + k] * w[(size_t)n * K + k];
            for (int i = 0; i < 64; i++) sum += lanes[i];
            out[(size_t)m * N + n] = sum;
        }
}
]]

local CUDA = [[
__global__ void kernel(const float *x, const float *w, float *out, int N, int K) {
    int n = blockIdx.x * blockDim.y + threadIdx.y, m = blockIdx.y;       // a warp for each result
    if (n >= N) return;
    float sum = 0;
    for (int k = threadIdx.x; k < K; k += 32) sum += x[(size_t)m * K + k] * w[(size_t)n * K + k];
    for (int d = 16; d > 0; d /= 2) sum += __shfl_down_sync(0xffffffff, sum, d);
    if (threadIdx.x == 0) out[(size_t)m * N + n] = sum;
}
]]

local function own(device)
  if device.name:find "^cuda" then
    return lb.kernel.compile { op = "gemm", name = "own", device = device, source = CUDA, grid = { "(N + 7) / 8", "M" },
      block = { 32, 8 } }
  end
  return lb.kernel.compile { op = "gemm", name = "own", split = "N", source = C }
end

return lb.scenario {
  about = "a kernel of one's own beside the built-in ones",
  options = { n = { "output columns", 4096 }, k = { "input columns", 4096 } },
  grid = lb.grid { { "m", { 1, 16 } }, { "kernel", { "built in", "own" } } },
  group = "m",
  baseline = { kernel = "built in" },
  case = function(g, opt)
    local x = lb.randn({ g.m, opt.k }, { seed = 1, device = opt.device })
    local w = lb.randn({ opt.n, opt.k }, { seed = 2, device = opt.device })
    local kernel = g.kernel == "own" and own(opt.device) or g.kernel ~= "built in" and g.kernel or nil
    return lb.plan(opt.device):gemm { x = x, w = w, kernel = kernel }    -- nil: the best that fits
  end,
}
