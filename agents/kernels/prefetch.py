"""A hint to the CPU to load a cache line that a later tick will touch. Compiled code only."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, array: Any, row: Any, word: Any) -> Any:
    """``prefetch(array, row, word)``: start loading ``array[row, word]`` of a 2-d C-ordered array.

    Reads nothing and never faults, so any row may be named. Changes no result.
    """
    del typing_context
    signature = types.void(array, row, word)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(view.shape, 1)
        wide = ir.IntType(64)
        row_number = builder.sext(args[1], wide) if args[1].type.width < 64 else args[1]
        word_number = builder.sext(args[2], wide) if args[2].type.width < 64 else args[2]
        address = builder.gep(view.data, [builder.add(builder.mul(row_number, width), word_number)])
        byte = builder.bitcast(address, cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(hint, [byte, number(1), number(3), number(1)])  # to write, keep in all caches, data
        return context.get_dummy_value()

    return signature, generate
