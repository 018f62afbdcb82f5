"""Arrays without reference counts, for kernels made of many small functions.

Numba counts a reference, with two atomic operations, for every array handed to a function that is not inlined; in the
memory controller that was two fifths of the time. A borrowed array is the same memory with no owner to count, so it
must not outlive the array it was made from: a kernel borrows its arguments, which its caller holds.
"""

from typing import Any

from numba.extending import intrinsic


@intrinsic
def _borrow(_typing: Any, array: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.return_type)(context, builder, arguments[0])
        for owner in ("meminfo", "parent"):
            setattr(view, owner, getattr(view, owner).type(None))
        return view._getvalue()  # noqa: SLF001

    return array(array), code


borrow: Any = _borrow
