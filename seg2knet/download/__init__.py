"""Files by HTTP: transfers that survive a broken connection, archives, pretrained weights, public data sets."""
