"""make.py: writes the data that test_quantizer_parity.c compares our float formats with, using torchao.

    pip install numpy==2.4.6 torch==2.15.0 torchao==0.18.0 && python3 tests/parity/torchao/make.py

Two matrices: `rows`, those of gguf/integer.source that are not zero throughout (torchao divides by their scale), and
`grid`, 128 x 256 small integers over 1024 from a formula that the test has too. Beside this script:
  <format>.values   f32, torchao's dequantization of its quantization of `rows`, little-endian, without a header
  grid.txt          a line a format: its name, and CRC-32 in hexadecimal of the same for `grid`; then, where our planes
                    are torchao's, of the codes and of the scales
  int4wo.txt        a line a group: the format, and CRC-32 of torchao's f32 dequantization of its quantization of `rows`
  int4wo.store      those codes (even k in the high nibble) and bf16 pairs of scale and zero as our format has them,
                    each filled up to 64 bytes: torchao rounds the least value of a group to bf16 before it takes codes,
                    and we do not, so that quantizing gives other codes at ties
The sums of scales that nf4-dq takes are exact in f32 in any order on `grid`, and rounded on `rows`, where it is left
out. Prints the error of each on normal values, for the table in test_quantizers.c.
"""
import math
import pathlib
import zlib

import numpy as np
import torch
from torchao.prototype.custom_fp_utils import _f32_to_floatx_unpacked, _floatx_unpacked_to_f32
from torchao.prototype.mx_formats.config import ScaleCalculationMode as Mode
from torchao.prototype.mx_formats.constants import DTYPE_FP6_E2M3, DTYPE_FP6_E3M2
from torchao.prototype.mx_formats.mx_tensor import to_dtype, to_mx
from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale
from torchao.quantization.quant_primitives import (
    _choose_scale_float8, _dequantize_affine_float8, _dequantize_affine_tinygemm, _quantize_affine_float8)
from torchao.quantization.utils import (
    get_groupwise_affine_qparams, groupwise_affine_quantize_tensor_from_qparams)
from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import NF4Tensor, get_block_absmax

HERE = pathlib.Path(__file__).parent
# As NF4Tensor.from_tensor has them for a bf16 tensor.
NF4 = torch.tensor([-1.0000, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0000, 0.0796, 0.1609, 0.2461,
                    0.3379, 0.4407, 0.5626, 0.7230, 1.0000], dtype=torch.bfloat16).float()


def mx(element, mode):
    def run(x):
        scales, codes = to_mx(x, element, 32, mode)
        values = to_dtype(codes, scales, element, 32, torch.float32)
        planes = [codes.view(torch.uint8), scales.view(torch.uint8)]
        return values, planes if element in (torch.float8_e4m3fn, torch.float8_e5m2) else []
    return run


def float8(block):
    def run(x):
        size = [s if b == 0 else b for s, b in zip(x.shape, block)]
        scales = _choose_scale_float8(x, size)
        codes = _quantize_affine_float8(x, scales, torch.float8_e4m3fn)
        return _dequantize_affine_float8(codes, scales), [codes.view(torch.uint8), scales]
    return run


def fp6(x):  # to_scaled_tc_floatx of torchao 0.9, without its packing
    scale = x.abs().amax(1).clamp(min=1e-12) / 28.0
    codes = _f32_to_floatx_unpacked(x / scale.view(-1, 1), 3, 2)
    return _floatx_unpacked_to_f32(codes, 3, 2) * scale.view(-1, 1), []


def nvfp4(x):
    scale = per_tensor_amax_to_scale(x.abs().max())
    return NVFP4Tensor.to_nvfp4(x, per_tensor_scale=scale, is_swizzled_scales=False).dequantize(torch.float32), []


def nf4_codes(x):
    packed = NF4Tensor.convert_to_norm_float_weight(x, x.numel() // 64, 64, NF4)
    return packed, NF4[torch.stack([packed >> 4, packed & 15], -1).long().flatten()].view(-1, 64)


def nf4(x):
    packed, levels = nf4_codes(x)
    scales = get_block_absmax(x.flatten(), 64)
    return (levels * scales[:, None]).view(x.shape), [packed, scales]


def nf4_dq(x):
    packed, levels = nf4_codes(x)
    codes, factors, mean = NF4Tensor.double_quantize_scalers(x.flatten(), 64, 256)
    scales = (codes.view(-1, 256) / factors[:, None]).flatten() + mean
    return (levels * scales[:, None]).view(x.shape), [packed, codes]


FORMATS = {
    "mxfp4": mx(torch.float4_e2m1fn_x2, Mode.FLOOR),
    "mxfp4-rceil": mx(torch.float4_e2m1fn_x2, Mode.RCEIL),
    "mxfp4-even": mx(torch.float4_e2m1fn_x2, Mode.EVEN),
    "mxfp6": mx(DTYPE_FP6_E2M3, Mode.FLOOR),
    "mxfp6-rceil": mx(DTYPE_FP6_E2M3, Mode.RCEIL),
    "mxfp6-e3m2": mx(DTYPE_FP6_E3M2, Mode.FLOOR),
    "mxfp8": mx(torch.float8_e4m3fn, Mode.FLOOR),
    "mxfp8-rceil": mx(torch.float8_e4m3fn, Mode.RCEIL),
    "mxfp8-even": mx(torch.float8_e4m3fn, Mode.EVEN),
    "mxfp8-e5m2": mx(torch.float8_e5m2, Mode.FLOOR),
    "fp6": fp6,
    "nvfp4": nvfp4,
    "nf4": nf4,
    "nf4-dq": nf4_dq,
    "float8wo": float8((1, 0)),
    "float8dq-tensor": float8((0, 0)),
    "float8dq-row": float8((1, 0)),
    "float8dq-block": float8((128, 128)),
}
ONLY_GRID = ["nf4-dq", "float8dq-block"]


def int4wo(x, group):
    """Store and f32 values."""
    scales, zeros = get_groupwise_affine_qparams(x, 4, group, torch.bfloat16)
    codes = groupwise_affine_quantize_tensor_from_qparams(x, scales, zeros, 4, group)
    values = _dequantize_affine_tinygemm(codes, (1, group), scales, zeros, torch.int32, 0, 15,
                                         output_dtype=torch.float32)
    q = codes.numpy().astype(np.uint8)
    planes = [q[:, ::2] << 4 | q[:, 1::2], torch.stack([scales, zeros], -1).view(torch.int16).numpy()]
    return b"".join(p.tobytes() + bytes(-p.nbytes % 64) for p in planes), values


def write_int4wo(rows):
    made = [(f"int4wo-{g}", *int4wo(rows, g)) for g in (32, 64, 128, 256)]
    (HERE / "int4wo.store").write_bytes(b"".join(store for _, store, _ in made))
    (HERE / "int4wo.txt").write_text("".join(f"{name} {crc(values)}\n" for name, _, values in made))


def grid():
    i = np.arange(128 * 256, dtype=np.uint32)
    row, column = i // 256, i % 256
    value = (i * np.uint32(2654435761) >> np.uint32(20)).astype(np.int64) - 2048
    x = value * (1 + row % 5) * (1 + column // 32 % 3)
    return torch.tensor((x / 1024).astype(np.float32)).view(128, 256)


def crc(t):
    return f"{zlib.crc32(t.contiguous().numpy().tobytes()):08x}"


def main():
    rows = np.fromfile(HERE.parent / "gguf" / "integer.source", "<f4").reshape(6, 512)
    rows, lines = torch.tensor(rows[[0, 1, 2, 4, 5]]), []
    write_int4wo(rows)
    normal = torch.randn(256, 4096, generator=torch.Generator().manual_seed(1))
    for name, run in FORMATS.items():
        if name not in ONLY_GRID:
            values = run(rows)[0]
            assert values.dtype == torch.float32 and values.isfinite().all()
            (HERE / f"{name}.values").write_bytes(values.contiguous().numpy().astype("<f4").tobytes())
        values, planes = run(grid())
        lines.append(" ".join([name, crc(values)] + [crc(p) for p in planes]))
        error = run(normal)[0] - normal
        print(f"{name:16} {10 * math.log10(normal.square().sum() / error.square().sum()):.3f} dB")
    (HERE / "grid.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
