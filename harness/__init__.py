"""c10k: compares server architectures at 10,000 connections and says why they differ."""
