"""Memory that a file takes while it runs on this machine."""

import ctypes

from tflite_export.interpreter import Interpreter

_NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of the GNU C library 2.33: mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _NAMES]


def heap_bytes():
    """Bytes that this process has in use on its heap; `None` where the C library does not count them."""
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        return None
    function.restype = _Mallinfo
    info = function()
    return info.uordblks + info.hblkhd


def measure_memory(path, sample, threads=1):
    """Loads a file, runs it once, and tells what that took of the heap.

    That is the arena with all activations, the weights as XNNPACK packs them, and what the interpreter keeps of the
    graph. The file itself is mapped into memory and not counted. What a first interpreter of a process takes once and
    for all is not counted if one has run before.

    Args:
        path: The path of the file.
        sample: Dict from input name to an array with batch size 1.
        threads: How many threads it runs on.

    Returns:
        A number of bytes, or `None` where the C library does not count them.
    """
    before = heap_bytes()
    if before is None:
        return None
    interpreter = Interpreter(path, threads)
    interpreter.set_inputs(sample)
    interpreter.invoke()
    return heap_bytes() - before
