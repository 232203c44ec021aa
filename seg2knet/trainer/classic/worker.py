"""One process of a classic run of several; started by torch.distributed.launch, see :mod:`seg2knet.trainer.classic`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from seg2knet.errors import Seg2KNetError
from seg2knet.trainer.classic import stack


def main(config: str, device: str, resume: str = "") -> None:
    """Train as the config says. What goes wrong is left for the process that started this one to say."""
    try:
        stack.enter()
        stack.enter_checkout_of(Path(config))
        from seg2knet.trainer.classic.loop import train

        train(Path(config), device, Path(resume) if resume else None)
    except Seg2KNetError as error:
        _leave_word(str(error))
        raise SystemExit(1) from None
    except Exception as error:  # the first process to fail has the reason
        text = f"training failed: {type(error).__name__}: {error}"
        if "find_unused_parameters" in text:
            text += "\n  to do:    --cfg-options find_unused_parameters=True"
        _leave_word(text)
        raise


def _leave_word(text: str) -> None:
    file = os.environ.get("SEG2KNET_ERROR_FILE")
    if file and not Path(file).exists():
        Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
