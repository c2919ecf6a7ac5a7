"""Recognises which of a session's errors mean that memory ran out, on the CPU or the GPU."""

_SIGNS = (
    "failed to allocate memory",
    "out of memory",
    "bad_alloc",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "cuda failure 2:",  # cudaErrorMemoryAllocation
    "outofmemory",  # TensorRT
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a session failed because memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)
