# One image for the Flex Template launcher and for the workers, so that both run the same code and versions.
# docs/deploy.md says how it is built; tests/deploy/test_image.py runs its steps where there is no Docker.
# deploy/pin_images.sh writes the digests behind the tags.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20240506-rc00 AS launcher

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
WORKDIR /src
# not in a folder that is copied into the image. Bytecode, because nothing can write it later
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
COPY requirements-image.txt requirements.txt ./
# the lock in its own layer: a change of the code alone downloads nothing. The environment has pip of its own, with
# which Dataflow's boot logs what is installed
RUN python -m pip install --no-cache-dir --target /opt/uv --require-hashes --no-deps --requirement requirements-image.txt \
    && python -m venv /opt/venv \
    && /opt/uv/bin/uv pip install --python /opt/venv --require-hashes --no-deps --requirement requirements.txt
COPY pyproject.toml setup.py requirements.in ./
COPY pipeline ./pipeline
COPY transforms ./transforms
RUN /opt/uv/bin/uv pip install --python /opt/venv --no-deps . \
    && /opt/uv/bin/uv pip check --python /opt/venv

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY --from=build /opt/venv /opt/venv
# what the launcher runs is the package's own entry point, outside the package: one import identity
COPY pipeline/__main__.py /template/main.py
WORKDIR /template
# MALLOC_ARENA_MAX: glibc keeps what a thread frees in a heap of that thread, and a worker has many threads.
# RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT: boot makes no environment of its own, everything is installed already
ENV PATH=/opt/venv/bin:$PATH \
    MALLOC_ARENA_MAX=1 \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    PYTHONUNBUFFERED=1
# No USER: Dataflow mounts folders of the worker's machine that belong to root, and boot writes into them. The code
# needs none of that: Cloud Build runs it in this image as nobody, on a read-only file system, without a network.
ENTRYPOINT ["/opt/apache/beam/boot"]
