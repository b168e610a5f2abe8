"""``python -m siamcorr.embed.convert CHECKPOINT OUTPUT``: an author's checkpoint as a safetensors file.

The output has the weights alone, under the names that they have in the checkpoint: no optimiser, no
settings, and no pickle that a reader would have to trust. Objects that only their author's code could
build become blanks, and nothing of them runs; but where they are dicts or lists of his own, torch's reader
refuses to fill a blank, and the checkpoint is refused. It is for checkpoints that ``--model`` refuses on
their account, and to make large ones smaller.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from safetensors import SafetensorError
from safetensors.torch import save_file

from siamcorr.embed.weights import read_state_dict
from siamcorr.errors import InvalidArgument

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the output is written, 2 when the checkpoint is refused or it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m siamcorr.embed.convert", description=__doc__)
    parser.add_argument("checkpoint", help="a file of torch.save")
    parser.add_argument("output", help="the safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        state = read_state_dict(options.checkpoint, blank_foreign=True)
    except InvalidArgument as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, options.output)
    except (OSError, SafetensorError) as error:
        sys.stderr.write(f"output: {options.output!r} could not be written: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
