"""The images that a Dockerfile starts from."""

from __future__ import annotations

import pytest

from harness.backends import image_bases


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("ARG BASE=debian:bookworm-slim\nFROM ${BASE}\n", ["mine:1"]),
        ("ARG BASE\nFROM $BASE AS build\nFROM ${BASE}\nCOPY --from=build /a /a\n", ["mine:1"]),
        ("ARG V=3\nFROM --platform=linux/amd64 alpine:${V}\n", ["alpine:3"]),
        ("FROM golang:${V:-1.22} as go\nFROM scratch\nCOPY --from=0 /a /\n", ["golang:1.22"]),
        ("FROM scratch\nCOPY --from=busybox:1 \\\n  /bin/sh /\n", ["busybox:1"]),
        ("from alpine\n# FROM debian\n\nRUN echo FROM here\n", ["alpine"]),
        ("", []),
        ("FROM\nARG\nCOPY\n", []),
    ],
)
def test_images_are_found_and_stages_are_none(dockerfile: str, expected: list[str]) -> None:
    assert image_bases.of(dockerfile, "mine:1") == expected
