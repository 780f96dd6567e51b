# One image for the harness and for its load containers: Python and our package, no build tools.
# Only instructions of the classic builder: Docker 20.10 without BuildKit builds it too.
ARG BASE=debian:bookworm-slim

# The dependencies, at the versions of the lock. This layer outlives changes of our own code.
FROM ${BASE} AS dependencies
RUN echo 'c10k: installing the compiler and Python' \
 && apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
      g++ python3 python3-dev python3-venv >/dev/null \
 && rm -rf /var/lib/apt/lists/*
# Quiet: what fails is on standard error all the same.
ENV PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY requirements/build.txt requirements/run.txt requirements/
# Without what no campaign runs: tests, build tools, sources and symbols of libraries. Not every
# strip understands the ELF files in `*.libs`, which were patched for their wheels. Only modules
# that are imported here get byte code: that of all others would be a fifth of the libraries.
RUN echo 'c10k: installing the libraries of the harness' \
 && python3 -m venv /build \
 && python3 -m venv --without-pip /opt/c10k \
 && /build/bin/pip install --require-hashes -r requirements/build.txt \
 && /build/bin/pip --python /opt/c10k/bin/python install --no-compile \
      --require-hashes -r requirements/run.txt \
 && cd /opt/c10k/lib/python3.*/site-packages \
 && rm -rf setuptools pkg_resources _distutils_hack distutils-precedence.pth \
      numpy/distutils numpy/f2py \
 && find . -depth -type d \( -name tests -o -name test \) -exec rm -r {} + \
 && find . \( -name '*.a' -o -name '*.c' -o -name '*.h' -o -name '*.py[ix]' -o -name '*.pxd' \) \
      -delete \
 && find . -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
 && /opt/c10k/bin/python -c 'import locust, locust.runners' \
 && /opt/c10k/bin/python -c 'import click, docker, hdrh.histogram, jinja2, pandas' \
 && /opt/c10k/bin/python -c \
      'import pydantic, pydantic.dataclasses; pydantic.create_model("Model", key=int)' \
 && /opt/c10k/bin/python -c 'import rich.live, rich.progress, rich.table, vl_convert'

# Our package, installed under /overlay so that the final image gets it as a small layer of its own.
FROM dependencies AS package
COPY CMakeLists.txt LICENSE README.md pyproject.toml ./
COPY harness harness
RUN echo 'c10k: compiling the load engine' \
 && PATH=/build/bin:$PATH pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /build/bin/pip --python /opt/c10k/bin/python install --no-deps --no-index \
      --no-warn-script-location --root /overlay /wheels/*.whl

FROM ${BASE}
RUN echo 'c10k: installing Python' \
 && apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
      python3 strace >/dev/null \
 && apt-get -qq clean \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/*
COPY --from=dependencies /opt/c10k /opt/c10k
COPY --from=package /overlay/ /
# A load container has a read-only root and any uid: nothing may be written beside the modules.
ENV PATH=/opt/c10k/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /c10k
ENTRYPOINT ["c10k"]
