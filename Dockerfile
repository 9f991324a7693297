# The image of the operator: one static binary, no shell, no package manager, not root.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api/ api/
COPY cmd/ cmd/
COPY config/crd/ config/crd/
COPY internal/ internal/
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o /out/manager ./cmd/manager

FROM gcr.io/distroless/static:nonroot
ARG VERSION=dev REVISION=unknown CREATED=""
LABEL org.opencontainers.image.title="Skott" \
      org.opencontainers.image.description="Refuses production data crossing into non-production clusters" \
      org.opencontainers.image.vendor="skott-dev" \
      org.opencontainers.image.url="https://github.com/skott-dev/skott" \
      org.opencontainers.image.documentation="https://github.com/skott-dev/skott/tree/main/docs" \
      org.opencontainers.image.source="https://github.com/skott-dev/skott" \
      org.opencontainers.image.base.name="gcr.io/distroless/static:nonroot" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
