"""What has XLA compile programs sooner: a quarter of the processor's time for those of a run by ``slim``.

They are slower, which does not count at 64 pixels, and computed in another order within a fusion.
"""

#: For ``XLA_FLAGS``. LLVM optimises nothing, and its code is made by XLA's older emitters, which are quicker.
QUICK_PROGRAMS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)
