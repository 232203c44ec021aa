"""Judging results against annotations: where a model fails, which of two is better, which labels look wrong.

Works on a COCO file and a list of COCO results; nothing here loads a model.
"""
