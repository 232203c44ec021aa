"""Export of checkpoints to ONNX and TorchScript."""
