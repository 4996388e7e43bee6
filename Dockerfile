# sbcwatch as a sidecar of an SBC, or one a host.
#
#   docker build -t sbcwatch .                        without tshark
#   docker build -t sbcwatch:tls --target tls .       with tshark, for SIP over TLS with a key log
#
# BASE is any Debian or Ubuntu image with Python 3.11 or later in its PATH and pip for the first stage.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc libc6-dev linux-libc-dev $(command -v pip3 >/dev/null || echo python3-pip) \
      $(test -x /usr/local/bin/python3 || echo python3-dev python3-venv)
WORKDIR /src
COPY pyproject.toml setup.py LICENSE README.m[d] ./
COPY requirements requirements
COPY agent agent
# A slow loop in a container would go unnoticed: no compiler, no image.
RUN python3 -m venv /opt/sbcwatch && \
    python3 -m venv /build && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt && \
    SBCWATCH_REQUIRE_COMPILED=1 /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels . && \
    /opt/sbcwatch/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements/runtime.txt && \
    /opt/sbcwatch/bin/pip install --no-cache-dir --no-compile --no-deps /wheels/sbcwatch-*.whl
COPY deploy/launch.c /src/deploy/launch.c
RUN gcc -O2 -Wall -Werror -s -o /opt/sbcwatch/bin/launch /src/deploy/launch.c
# Only the services used, and what every client reads, stay of botocore's 400.
COPY deploy/trim.py /src/deploy/trim.py
RUN find /opt/sbcwatch/lib -name '*.so' -exec strip --strip-unneeded {} + && \
    python3 /src/deploy/trim.py /opt/sbcwatch && /opt/sbcwatch/bin/sbcwatch selftest

FROM build AS build-tls
RUN /opt/sbcwatch/bin/python3 -m ensurepip && /opt/sbcwatch/bin/python3 -m pip install --no-cache-dir --no-compile pyshark && \
    python3 /src/deploy/trim.py /opt/sbcwatch

FROM ${BASE} AS runtime
# `docker run --cap-drop ALL --cap-add NET_RAW --read-only --network container:SBC -v state:/var/lib/sbcwatch`.
# A runtime gives no ambient capabilities to another user than root: the launcher holds NET_RAW as a file
# capability, for those commands that capture. deploy/README.md says what that asks of a runtime.
ENV PATH=/opt/sbcwatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/sbcwatch /opt/sbcwatch
COPY deploy/file_capability.py /tmp/file_capability.py
RUN python3 /tmp/file_capability.py /opt/sbcwatch/bin/launch && rm /tmp/file_capability.py && \
    mkdir -p /var/lib/sbcwatch /etc/sbcwatch && chown 65532:65532 /var/lib/sbcwatch && chmod 700 /var/lib/sbcwatch
VOLUME /var/lib/sbcwatch
USER 65532:65532
EXPOSE 9642
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["sbcwatch", "healthcheck"]
ENTRYPOINT ["/opt/sbcwatch/bin/launch"]
CMD ["run"]

FROM runtime AS tls
ENV DEBIAN_FRONTEND=noninteractive
USER 0:0
RUN apt-get update && apt-get install -y --no-install-recommends tshark && rm -rf /var/lib/apt/lists/*
COPY --from=build-tls /opt/sbcwatch /opt/sbcwatch
COPY deploy/file_capability.py /tmp/file_capability.py
RUN python3 /tmp/file_capability.py /opt/sbcwatch/bin/launch && rm /tmp/file_capability.py
USER 65532:65532

# Without --target this is what is built.
FROM runtime
