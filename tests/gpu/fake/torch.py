"""torch.py: as much of PyTorch as bench_torch.py calls, without any device: to test that what it has measured is kept
when it is ended. FAKE_TORCH_LOG=FILE: a line for each product that is tried for the first time; FAKE_TORCH_HANGS=NAME:
that one never ends; FAKE_TORCH_FAILS=NAME: raises an error without words."""
import contextlib
import os
import sys
import time
import types

__version__ = "0.played"
bfloat16, float8_e4m3fn, int8, uint8 = "bf16", "f8", "i8", "u8"


def tried(name):
    if os.environ.get("FAKE_TORCH_LOG"):
        with open(os.environ["FAKE_TORCH_LOG"], "a") as file:
            print(name, file=file)
    if os.environ.get("FAKE_TORCH_FAILS") == name:
        raise RuntimeError()
    if os.environ.get("FAKE_TORCH_HANGS") == name:
        time.sleep(600)


class Tensor:
    dtype = None

    def to(self, _):
        return self

    t = lambda self: self
    __mul__ = lambda self, _: self


def tensor(*_, **__):
    return Tensor()


randn = rand = randint = tensor


def device(name):
    return name


def compile(function, **_):
    return function


def operation(name):
    seen = []

    def call(*_, **__):
        if not seen:
            seen.append(name)
            tried(name)
        return Tensor()
    return call


class Event:
    def __init__(self, **_):
        pass

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return 1000 * (other.at - self.at)


_scaled_mm = operation("fp8")
nn = types.SimpleNamespace(functional=types.SimpleNamespace(
    linear=operation("linear"), scaled_dot_product_attention=operation("attention")))
ops = types.SimpleNamespace(aten=types.SimpleNamespace(
    _convert_weight_to_int4pack=operation("packing"), _weight_int4pack_mm=operation("int4")))
cuda = types.SimpleNamespace(
    is_available=lambda: True, synchronize=lambda: None, empty_cache=lambda: None, Event=Event,
    get_device_properties=lambda _: types.SimpleNamespace(L2_cache_size=1 << 20), get_device_name=lambda: "played",
    CUDAGraph=lambda: types.SimpleNamespace(replay=lambda: None), graph=lambda _: contextlib.nullcontext())
sys.modules["torch"] = sys.modules[__name__]
