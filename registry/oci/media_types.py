"""Media types of OCI images: image-spec 1.1, "OCI Image Media Types"."""

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"  # of an image as Docker pushes it
DOCKER_MANIFESTS = "application/vnd.docker.distribution.manifest.list.v2+json"
