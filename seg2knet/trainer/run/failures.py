"""What goes wrong inside PyTorch, said so that a user can act on it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from seg2knet.errors import EnvironmentProblem, Seg2KNetError


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns errors of loader processes, the compiler, the GPU's memory and shared memory into errors of this package.

    Raises Seg2KNetError: the same error as it was raised in a loader process, without that process's trace;
    EnvironmentProblem: memory ran out, or there is no compiler.
    """
    import torch

    try:
        yield
    except Seg2KNetError as error:
        # torch raises a loader's error again with the loader's whole trace as its message: the message alone is kept.
        if not error.message.startswith("Caught ") or "Original Traceback" not in error.message:
            raise
        raise type(error)(re.split(r"^seg2knet\.errors\.\w+: ", error.message, flags=re.M)[-1].strip()) from None
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            "the GPU's memory is not enough",
            found=str(error).splitlines()[0],
            hint="a smaller --batch-size or --img-size; --amp takes about half; --accumulate N keeps the step's size",
        ) from None
    except RuntimeError as error:
        text = str(error)
        first = text.strip().partition("\n")[0]
        # By name: importing the compiler to ask takes seconds, and where it raised the error it is imported already.
        if any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__):
            raise EnvironmentProblem(
                "torch.compile cannot compile the model here",
                found=first,
                expected="a C++ compiler (g++), on a GPU a C compiler and triton",
                hint="apt-get install g++, or train without --compile",
            ) from None
        if "DataLoader worker" not in text:
            raise
        raise EnvironmentProblem(
            "a process that loads images was killed",
            found=first,
            hint="most often shared memory or memory ran out: --workers 0; docker run --shm-size=8g; seg2knet doctor",
        ) from None
