# The studio with a ready model, on CPUs. It takes the two wheels that `make dist` writes:
#
#   make dist
#   docker build -t dualstylegan .
#   docker run --rm -p 127.0.0.1:7860:7860 dualstylegan
#
# From the Python package index, torch comes with CUDA, 3.8 GB more; its CPU build is on PyTorch's own
# index, whose address --build-arg PIP_EXTRA_INDEX_URL=... gives. docs/machines.md says more.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /build
COPY constraints.txt ./
COPY dist/*.whl ./
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# both wheels by their files: an index may have others of these names
RUN python -m venv /opt/dualstylegan \
    && library=(dualstylegan-*.whl) model=(dualstylegan_portraits-*.whl) \
    && /opt/dualstylegan/bin/pip install --no-cache-dir --disable-pip-version-check \
        -c constraints.txt "./${library[0]}[serve,video,heif,hub]" "./${model[0]}"

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="dualstylegan" \
      org.opencontainers.image.description="Portrait style transfer: studio with a model for research only" \
      org.opencontainers.image.licenses="Apache-2.0 AND LicenseRef-Research-Only"
RUN useradd --create-home --uid 10001 studio
COPY --from=build /opt/dualstylegan /opt/dualstylegan
ENV PATH=/opt/dualstylegan/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    DUALSTYLEGAN_CACHE=/home/studio/cache
USER 10001
WORKDIR /home/studio
# the landmark model is unpacked once, here and not at each start
RUN ["python", "-c", "from dualstylegan.portrait.stores import find_model; from dualstylegan.portrait.face_weights import FACE_FILES, require_weights; require_weights(find_model('demo') / 'faces', *FACE_FILES)"]
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/api/styles', timeout=4)"]
# `docker run dualstylegan transfer ...` runs any command; 0.0.0.0 is the container's own network
ENTRYPOINT ["dualstylegan"]
CMD ["serve", "--model", "demo", "--host", "0.0.0.0"]
