# syntax=docker/dockerfile:1
# pdadmm-bench as it is installed from its wheel, in two images:
#   docker build -t pdadmm-bench .                           the command; this is the last stage
#   docker build -t pdadmm-bench:ui --target ui .            the MLflow UI, with a health check
# Torch computes on the CPU. For NVIDIA GPUs, name the index of wheels of the CUDA version that the driver supports:
#   docker build -t pdadmm-bench:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY pdadmm_bench pdadmm_bench
COPY datasets datasets
COPY runners runners
COPY reports reports
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS environment
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv --without-pip /opt/venv
COPY constraints.txt /wheels/
# Torch apart: it changes seldom, and its index has nothing else.
RUN pip --python /opt/venv install --no-cache-dir --no-deps --constraint /wheels/constraints.txt \
      --index-url "$TORCH_INDEX" torch
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/venv install --no-cache-dir --constraint /wheels/constraints.txt \
      "$(echo /wheels/*.whl)[postgresql]" \
    && pip --python /opt/venv check

FROM python:${PYTHON}-slim AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pdadmm-bench" \
      org.opencontainers.image.description="Layer-parallel, gradient-free ADMM next to backpropagation, measured" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=environment /opt/venv /opt/venv
# --compile on a GPU: Triton compiles its launchers with a C compiler, of any version. An image for the CPU needs none.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# hadolint ignore=DL3008
RUN case "$TORCH_INDEX" in \
      */cpu) ;; \
      *) apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* ;; \
    esac
# Writable for everybody, so that any --user works.
RUN useradd --no-create-home --uid 10001 bench \
    && install --directory --mode 1777 /artifacts /cache /data /results
# There is no git in the image, and no need to say so at every start.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/cache \
    PDADMM_BENCH_CACHE=/cache \
    PDADMM_BENCH_DATA=/data \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet
USER 10001
WORKDIR /results
ENTRYPOINT ["pdadmm-bench"]

FROM runtime AS ui
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:5000/health', timeout=4)"]
CMD ["ui", "--host", "0.0.0.0"]

FROM runtime AS bench
CMD ["--help"]
