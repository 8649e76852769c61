# The image for amd64 and arm64: docker buildx bake. The Dockerfile compiles in each architecture, so that a builder needs emulation
# (docker run --privileged --rm tonistiigi/binfmt --install arm64) or a node of that architecture.
variable "TAG" {
  default = "hr-gateway"
}

target "default" {
  context = "."
  tags = [TAG]
  platforms = ["linux/amd64", "linux/arm64"]
}
