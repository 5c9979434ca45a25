# syntax=docker/dockerfile:1
# The image: one static program on distroless, run as nobody, on a root that
# nobody has to write to. Two ways lead to it:
#   docker build .    builds the program from these sources
#   goreleaser        brings the programs that it has built (--target release)
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# timetzdata: the time zones of schedules are in the program.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=$VERSION" -o /out/reaper ./cmd/reaper

# It brings certificates of authorities, for monitors and databases with TLS.
FROM gcr.io/distroless/static-debian12:nonroot AS base
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/reaper"]

FROM base AS release
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/reaper /reaper

FROM base
COPY --from=build /out/reaper /reaper
