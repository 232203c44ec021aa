"""Everything that mmdet and mmseg import or find in their registries."""
