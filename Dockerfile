# syntax=docker/dockerfile:1
# The image: one static program on distroless, run as nobody, on a root that
# nobody has to write to. Two ways lead to it:
#   docker build .    builds the program from these sources, without their history:
#                     --build-arg VERSION=… --build-arg REVISION=$(git rev-parse HEAD)
#   goreleaser        brings the programs that it has built (--target release)
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# timetzdata: the time zones of schedules are in the program.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=$VERSION -X main.commit=$REVISION" -o /out/reaper ./cmd/reaper

# It brings certificates of authorities, for monitors and databases with TLS.
FROM gcr.io/distroless/static-debian12:nonroot AS base
LABEL org.opencontainers.image.title="reaper" \
      org.opencontainers.image.description="Deletes expired rows of a multi-tenant PostgreSQL" \
      org.opencontainers.image.source="https://github.com/reaperdb/reaper" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/reaper"]

FROM base AS release
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/reaper /reaper

FROM base
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/reaper /reaper
