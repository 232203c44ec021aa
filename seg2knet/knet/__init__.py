"""K-Net from the paper (Zhang et al., NeurIPS 2021, arXiv 2106.14855): plain PyTorch but for detector and packing."""
