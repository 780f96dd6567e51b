"""The places where servers run: one small interface, one module per backend."""
