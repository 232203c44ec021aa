"""What several readers share: class tables, split lists, mask encodings, image pairs, XML, JSON, CSV."""
