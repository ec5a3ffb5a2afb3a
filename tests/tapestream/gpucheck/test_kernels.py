"""Every CUDA kernel compiled and assembled without a GPU, held to the record of what they need."""

import importlib.util

import pytest

from schemas.errors import SettingsError
from tapestream.gpucheck import assembled, compiled, record

pytestmark = pytest.mark.gpu_path

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None or importlib.util.find_spec("triton") is None,
    reason="numba-cuda with NVVM, and triton with ptxas, are installed on Linux only",
)

HEAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry kernel(.param .u64 at, .param .u32 where) {
    .reg .u64 %a<4>;
    .reg .u32 %i<2>;
    .reg .f64 %x<4>;
    ld.param.u64 %a0, [at];
    ld.global.f64 %x0, [%a0];
    ld.global.f64 %x1, [%a0+8];
"""
TAIL = "    st.global.f64 [%a0+16], %x2;\n    ret;\n}\n"
FUSIBLE = "    mul.f64 %x2, %x0, %x1;\n    add.f64 %x2, %x2, %x0;\n"
APART = FUSIBLE.replace("mul", "mul.rn").replace("add", "add.rn")
IN_LOCAL_MEMORY = """    .local .align 8 .b8 depot[64];
    ld.param.u32 %i0, [where];
    mov.u64 %a1, depot;
    cvt.u64.u32 %a2, %i0;
    add.u64 %a3, %a1, %a2;
    st.local.f64 [%a1], %x0;
    st.local.f64 [%a1+8], %x1;
    ld.local.f64 %x2, [%a3];
"""


@needs_compiler
@pytest.mark.timeout(600)
def test_the_kernels_need_what_the_record_says_and_nothing_is_spilled_or_contracted():
    found, fused = record.measure()
    assert found == record.read(), "python -m tapestream.gpucheck kernels writes it anew"
    assert set(fused.values()) == {0}
    for kernels in found["kernels"].values():
        needs = [assembled.Needs(**row) for row in kernels.values()]
        assert not any(one.spills or one.contracted for one in needs)


@needs_compiler
def test_a_value_in_local_memory_counts_as_spilled():
    found = assembled.assemble(HEAD + IN_LOCAL_MEMORY + TAIL, 80)
    assert found.spills
    assert found.stack_bytes >= 16


@needs_compiler
def test_a_product_and_a_sum_that_may_be_fused_are_found_to_be():
    fusible, apart = (assembled.assemble(HEAD + body + TAIL, 80) for body in (FUSIBLE, APART))
    assert (fusible.contracted, fusible.fused) == (True, 1)
    assert (apart.contracted, apart.fused, apart.doubles, apart.spills) == (False, 0, 2, False)


@needs_compiler
def test_what_ptxas_refuses_is_told_in_its_words():
    with pytest.raises(SettingsError, match=r"ptxas.*fatal"):
        assembled.assemble("no assembly", 80)


@needs_compiler
def test_a_kernel_without_a_signature_is_told(monkeypatch):
    monkeypatch.setattr(compiled, "kernels", lambda: {"advance": None, "forgotten": None})
    with pytest.raises(SettingsError, match="differ: close_base, close_longer, forgotten"):
        compiled.compile_here(90)


def test_tools_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="ptxas is not installed"):
        assembled.tool("ptxas")
    with pytest.raises(SettingsError, match="numba-cuda is not installed"):
        compiled.ptx_of(90)


def test_instructions_are_counted_by_what_they_do():
    code = """
        /*0000*/                   LDG.E.64 R2, desc[UR4][R2.64] ;
        /*0010*/               @P0 DFMA R4, R2, R2, R4 ;
        /*0020*/              @!P1 DADD R4, R4, R2 ;
        /*0030*/                   STG.E.64 desc[UR4][R2.64], R4 ;
        /*0040*/                   EXIT ;
    .L_x_1:
        /*0050*/                   BRA `(.L_x_1);
        /*0060*/                   NOP;
    """
    assert assembled.count(code) == {"instructions": 6, "doubles": 2, "fused": 1, "loads": 1, "stores": 1}
