"""What the compiler says of devices that are not there: the text that it gives, and targets without their compilers."""

import argparse
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import random_filters

from benchmarks import __main__ as command
from benchmarks import compiled, hlo, targets
from nst_jax.losses.objective import objective
from nst_jax.losses.terms import Content
from nst_jax.networks import vgg

#: A loop whose turns exchange rows and add up sums, with a callback, on four devices of a CPU; prints its text.
ON_FOUR = """
import functools
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P

def turn(x, _):
    x = x + jax.lax.ppermute(x, "rows", [(0, 1), (1, 2), (2, 3)])
    jax.debug.callback(lambda total: None, jax.lax.psum(jnp.sum(x), "rows"))
    return x, None

run = lambda x: jax.lax.scan(turn, x, length=9)[0]
mesh = Mesh(np.asarray(jax.devices()), ("rows",))
run = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=P("rows"), out_specs=P("rows"), check_vma=False))
print(run.lower(jnp.zeros((8, 3))).compile().as_text())
"""
#: The same as an accelerator has it: what exchanges is started and waited for.
STARTED = """HloModule jit_run, is_scheduled=true

%body (state: (s32[], f32[8,3])) -> (s32[], f32[8,3]) {
  %state = (s32[], f32[8,3]{1,0}) parameter(0)
  %x = f32[8,3]{1,0} get-tuple-element(%state), index=1
  %sent = (f32[8,3]{1,0}, f32[8,3]{1,0}) collective-permute-start(%x), channel_id=1, source_target_pairs={{0,1}}
  %got = f32[8,3]{1,0} collective-permute-done(%sent)
  %sum = f32[8,3]{1,0} fusion(%x, %got), kind=kLoop, calls=%fused
  %product = (f32[8,3]{1,0}, s8[4096]{0}) custom-call(%sum, %x), custom_call_target="__cublas$gemm"
  %out = f32[8,3]{1,0} get-tuple-element(%product), index=0
  ROOT %next = (s32[], f32[8,3]{1,0}) tuple(%state, %out)
}

ENTRY %main (x: f32[8,3]) -> f32[8,3] {
  %x.1 = f32[8,3]{1,0} parameter(0)
  %start = (s32[], f32[8,3]{1,0}) tuple(%x.1)
  %loop = (s32[], f32[8,3]{1,0}) while(%start), condition=%less, body=%body
  ROOT %end = f32[8,3]{1,0} get-tuple-element(%loop), index=1
}
"""


def test_a_text_tells_collectives_host_calls_and_the_kernels_of_its_loop():
    variables = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", ON_FOUR], env=variables, capture_output=True, text=True, check=True)
    program = hlo.program_of(done.stdout)
    assert hlo.collectives(program) == {"all-reduce": 1, "collective-permute": 1}
    assert hlo.host_calls(program) == 1
    (body,) = hlo.loops(program)
    assert 4 <= hlo.kernels(program, body) < 20
    silent = done.stdout.replace("callback", "other")
    assert hlo.host_calls(hlo.program_of(silent)) == 0


def test_what_is_started_and_waited_for_counts_once_and_libraries_tell_their_bytes():
    program = hlo.program_of(STARTED)
    assert hlo.collectives(program) == {"collective-permute": 1}
    assert hlo.loops(program) == ["body"]
    assert hlo.kernels(program, "body") == 3
    assert hlo.library_bytes(program) == 3 * 8 * 3 * 4  # the room that a library works in does not count
    with pytest.raises(ValueError, match="describes no program"):
        hlo.program_of("nothing")


def test_a_target_without_its_compiler_is_skipped_with_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, "find_spec", lambda name: None)
    told = tmp_path / "told.json"
    command.main(["compiled", "--targets", "h100", "v5e:4", "--programs", "step", "--output", str(told)])
    rows = json.loads(told.read_text())["rows"]
    assert {row["target"] for row in rows} == {"h100", "v5e:4"} and len(rows) == 4
    for row in rows:
        wheel = "jax-cuda12-plugin" if row["target"] == "h100" else "jax[tpu]"
        assert wheel in row["skipped"] and "not installed" in row["skipped"]
    assert "skipped: libtpu not installed: pip install 'jax[tpu]'" in capsys.readouterr().out


def test_targets_are_named_by_their_kind_and_number():
    assert [targets.target_of(name).devices for name in compiled.TARGETS] == [1, 4, 8, 1, 4, 16, 1]
    assert targets.target_of("v5e:16").name == "v5e:16" and targets.target_of("h100").name == "h100"
    assert targets.target_of("v5e:16").environment()["TPU_ACCELERATOR_TYPE"] == "v5litepod-16"
    for name in ("v4", "h100:", "h100:0", "v5e:3", "v5e:many"):
        with pytest.raises(SystemExit, match="is no target: give h100, v5e, v6e"):
            targets.target_of(name)


def test_rows_are_shared_out_evenly():
    assert compiled.shape_of(512, 1) == (384, 512)
    for devices in (4, 16, 64):
        height, width = compiled.shape_of(36864, devices)
        assert height % (16 * devices) == 0 and height == pytest.approx(3 / 4 * width, rel=0.02)


def test_the_shapes_of_an_objective_at_another_size(tiny):
    net = vgg.network(random_filters(tiny))
    content = Content.of(net, jnp.zeros((16, 24, 3)), {"conv1_1": 1.0, "conv2_1": 1.0})
    shapes = compiled.at_size(jax.eval_shape(lambda: objective(net, [(1.0, content)])), (64, 80))
    (_, found), sides = shapes.terms[0], {"conv1_1": (64, 80), "conv2_1": (32, 40)}
    assert {tap: target.shape[:2] for tap, target in found.targets.items()} == sides


def test_the_programs_of_this_machine_can_be_told(narrow_vgg, monkeypatch):
    """With the processor in a target's place, whose compiler is always there."""
    chip = targets.Chip("here", "gpu", 1e12, 1e11, 16 << 30)
    monkeypatch.setattr(targets.Target, "topology", lambda self: jax.devices()[:1])
    options = argparse.Namespace(network="vgg19", set=[], text=None)
    monkeypatch.setattr(compiled, "DRAFT", 64)
    row = compiled.told(targets.Target(chip), "nst_jax-0.1", 64, "step", options)
    assert row["collectives"] == "none" and row["host calls"] == 0 and row["kernels"] > 20
    assert row["GFLOP"] > 0 and row["GB"] > 0
    assert row["bound ms"] == pytest.approx(max(row["GFLOP"], 10 * row["GB"]))
    assert np.isfinite([row["arguments"], row["temporaries"]]).all()
