# The controller with the renderers and the OpenTofu it runs. Every step is a target of the Makefile,
# so it can be tried without Docker: `make binaries install DIR=/tmp/t PREFIX=/tmp/p`.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS base
# Debian removes superseded patch versions, so a pinned one breaks the build within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# Only what the builder of the tools reads, so that a change elsewhere reuses this layer.
FROM base AS tools
COPY Makefile ./
COPY gitops/__init__.py gitops/errors.py gitops/
COPY gitops/model gitops/model
COPY gitops/sandbox gitops/sandbox
ARG BINARIES="kustomize helm tofu"
RUN make binaries PYTHON=python3 DIR=/out BINARIES="${BINARIES}"

FROM base AS package
COPY . .
RUN make install PYTHON=python3 PREFIX=/opt/gitops

FROM python:${PYTHON}
# git, ssh and gpg read sources; not pinned for the same reason as above.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git gpg openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 65532 gitops \
 && useradd --uid 65532 --gid gitops --home-dir /var/lib/gitops --create-home --shell /usr/sbin/nologin gitops
COPY --from=tools /out/ /usr/local/bin/
COPY --from=package /opt/gitops /opt/gitops
ENV PATH=/opt/gitops/bin:/usr/local/bin:/usr/bin:/bin \
    GITOPS_CONFIG=/etc/gitops/gitops.yaml \
    HOME=/var/lib/gitops \
    XDG_STATE_HOME=/var/lib/gitops \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/gitops
VOLUME /var/lib/gitops
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["gitops", "status", "--output", "json"]
ENTRYPOINT ["gitops"]
CMD ["run", "--log", "json"]
