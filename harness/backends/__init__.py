"""Where servers run: one small interface, one file per backend."""
