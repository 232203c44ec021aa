"""seg2knet: from annotated images to a trained K-Net."""

from seg2knet._version import __version__

__all__ = ["__version__"]
