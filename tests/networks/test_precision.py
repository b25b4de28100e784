"""In which precision a network is run: what is read of the processor, and what a wish then comes to."""

import pytest

from nst_jax.errors import NSTError
from nst_jax.networks.precision import gains, precisions_of
from nst_jax.runs import machine
from nst_jax.runs.machine import Machine

CPUS = {
    "vendor_id: AuthenticAMD\nflags: fpu avx512f avx512_bf16 clzero": True,
    "vendor_id: AuthenticAMD\nflags: fpu avx2": False,
    "vendor_id: GenuineIntel\nflags: fpu avx512f avx512_bf16 avx512_fp16": False,
    "vendor_id: GenuineIntel\nflags: fpu avx512f avx512_bf16 amx_bf16": True,
    "flags: amx_bf16 avx_vnni": True,
    "Features: fp asimd i8mm bf16 dgh": True,
    "flags: fpu avx2 avx512f avx512_vnni": False,
}


@pytest.mark.parametrize("told", CPUS)
def test_auto_precision_is_that_of_the_device(tiny, monkeypatch, told):
    monkeypatch.setattr(machine.Path, "read_text", lambda path: told)
    assert machine.processor_gains_by_bfloat16() is CPUS[told]
    cpu = Machine("cpu", machine.processor_gains_by_bfloat16())
    assert cpu.precisions("auto", tiny)[0] == "float32"
    assert cpu.precisions("auto", "slim")[0] == "float32"
    assert cpu.precisions("auto", "vgg19")[0] == ("bfloat16" if CPUS[told] else "float32")
    assert Machine("tpu", CPUS[told]).precisions("auto", tiny) == ("bfloat16",)


def test_a_processor_of_which_nothing_is_told_takes_float32(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(machine.Path, "read_text", missing)
    assert Machine("cpu", machine.processor_gains_by_bfloat16()).precisions("auto", "vgg19")[0] == "float32"


@pytest.mark.parametrize("processor_gains", [False, True])
def test_accelerators_gain_always_and_a_cpu_that_does_with_a_wide_network(tiny, processor_gains):
    for network in (tiny, "slim", "vgg16", "vgg19"):
        assert gains(network, "gpu", processor_gains) and gains(network, "tpu", processor_gains)
        assert gains(network, "cpu", processor_gains) == (processor_gains and network.startswith("vgg"))


def test_a_wish_for_auto_may_always_come_to_bfloat16_which_takes_less_memory():
    assert precisions_of("auto", False) == ("float32", "bfloat16")
    assert precisions_of("auto", True) == ("bfloat16",)
    for faster in (False, True):
        assert precisions_of("float32", faster) == ("float32",)
        assert precisions_of("bfloat16", faster) == ("bfloat16",)


def test_an_unknown_wish_is_refused():
    with pytest.raises(NSTError, match="unknown precision 'half': choose one of auto, float32, bfloat16"):
        precisions_of("half", False)


def test_a_platform_decides_how_convolutions_are_done_and_how_many_steps_are_one_program():
    assert (Machine("cpu").lowering, Machine("cpu").chunk) == ("cpu", 1)
    for platform, lowering in (("gpu", "xla"), ("tpu", "tpu")):
        assert (Machine(platform).lowering, Machine(platform).chunk) == (lowering, machine.CHUNK)
    assert machine.CHUNK > 1
