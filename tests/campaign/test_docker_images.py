"""Images of servers, which a real engine builds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from command import C10k
from discovering import discover

from harness.backends import images

pytestmark = [pytest.mark.docker, pytest.mark.slow]
BUILD_TIMEOUT_S = 300
BASE = "c10k-test-base"


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=BUILD_TIMEOUT_S)
    yield client
    # Images of servers first, which inherit the label of their bases
    made = client.images.list(filters={"label": BASE})
    for image in sorted(made, key=lambda one: BASE in str(one.tags) or not one.tags):
        client.images.remove(str(image.id), force=True)
    client.close()


def make_base(engine: docker.DockerClient, directory: Path, generation: int) -> None:
    """A base under the same name each time, with another content."""
    dockerfile = f"FROM {images.base_image()}\nLABEL {BASE}={generation}\n"
    (directory / "Dockerfile").write_text(dockerfile)
    engine.images.build(path=str(directory), tag=BASE, rm=True)


def test_an_updated_base_makes_a_new_image(
    c10k: C10k, engine: docker.DockerClient, tmp_path: Path
) -> None:
    directory = c10k.add_server("of-a-base", "")
    (directory / "Dockerfile").write_text(f'FROM {BASE}\nENTRYPOINT ["false"]\n')
    (variant,) = discover(c10k.servers)
    (tmp_path / "base").mkdir()

    made = []
    for generation in (1, 1, 2):
        make_base(engine, tmp_path / "base", generation)
        made.append(images.build_variant(engine, variant, BUILD_TIMEOUT_S))

    assert made[0] == made[1]
    assert made[1] != made[2]
    config = engine.images.get(made[2]).attrs["Config"]
    assert config["Labels"][BASE] == "2"
