"""seg2knet: from annotated images to a trained K-Net.

    import seg2knet
    seg2knet.train("data/coco", epochs=12)
    seg2knet.evaluate("work_dirs/coco/best.pth").figures
    seg2knet.predict("work_dirs/coco/best.pth", ["photos/"], out="predictions")

Importing it costs nothing: what a call needs is imported by the call.
"""
