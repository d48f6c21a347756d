"""make.py: writes the data that test_quantizers.c compares our GGUF formats with, using the independent gguf package.

    pip install gguf==0.19.0 && python3 tests/parity/gguf/make.py

Little-endian files without headers, beside this script:
  <type>.blocks     blocks of random bytes; only their f16 scales are kept finite (subnormals included)
  <type>.values     gguf's dequantization of them, f32
  <type>.source     f32 values, for the types that gguf can quantize
  <type>.quantized  gguf's quantization of those
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

HERE = pathlib.Path(__file__).parent
BLOCKS = 16          # of 256 elements
# type: elements and bytes of a block, where its f16 scales lie
LAYOUT = {
    "q4_0": (32, 18, [0]),
    "q8_0": (32, 34, [0]),
    "q2_k": (256, 84, [80, 82]),
    "q3_k": (256, 110, [108]),
    "q4_k": (256, 144, [0, 2]),
    "q5_k": (256, 176, [0, 2]),
    "q6_k": (256, 210, [208]),
}


def random_blocks(rng, count, size, scales):
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in scales:
        exponent = rng.integers(0, 31, count, dtype=np.uint16)
        exponent[0] = 0
        bits = rng.integers(0, 1 << 16, count, dtype=np.uint16) & 0x83FF | exponent << 10
        blocks[:, at:at + 2] = bits.astype("<u2")[:, None].view(np.uint8)
    return blocks


def source_rows(rng, elements, total):
    x = rng.standard_normal(total, dtype=np.float32).reshape(-1, elements)
    x *= np.exp2(rng.integers(-12, 8, (len(x), 1))).astype(np.float32)
    x[0] = 0                                    # no scale at all
    x[1] = np.arange(elements) - elements // 2  # integers: ties in rounding
    x[2, 3:5] = 4 * np.abs(x[2]).max(), -4 * np.abs(x[2]).max()  # two extremes of equal size
    return x


def main():
    rng = np.random.default_rng(20)
    for name, (elements, size, scales) in LAYOUT.items():
        kind = T[name.upper()]
        blocks = random_blocks(rng, BLOCKS * 256 // elements, size, scales)
        values = quants.dequantize(blocks.reshape(-1), kind).astype("<f4")
        (HERE / f"{name}.blocks").write_bytes(blocks.tobytes())
        (HERE / f"{name}.values").write_bytes(values.tobytes())
        if elements == 32:
            source = source_rows(rng, elements, BLOCKS * 256)
            (HERE / f"{name}.source").write_bytes(source.astype("<f4").tobytes())
            (HERE / f"{name}.quantized").write_bytes(quants.quantize(source, kind).tobytes())


if __name__ == "__main__":
    main()
