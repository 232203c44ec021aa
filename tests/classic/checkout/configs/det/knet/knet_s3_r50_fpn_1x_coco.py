_base_ = ["../_base_/knet_s3_r50_fpn.py", "../_base_/coco_instance.py", "../_base_/schedule_1x.py"]
