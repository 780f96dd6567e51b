"""The package that the servers in Python share: a module with a path is a package."""

__path__ = [__file__.removesuffix("c10k.py") + "../common/python/c10k"]
