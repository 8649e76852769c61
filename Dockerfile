# One image for all services; docker-compose.yml selects the service of each container.
# The build stage has compilers and headers; the final stage only compiled JavaScript and production packages.
FROM node:24-bookworm-slim AS build
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends python3 make g++ && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
COPY tools/install-sqlite.mjs tools/
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund && node tools/slim-modules.mjs

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="hr-gateway" org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production DATA_DIR=/data
WORKDIR /app
# For operators: docker compose exec forwarder hr-gateway tail
RUN printf '#!/bin/sh\nexec node /app/dist/cli/main.js "$@"\n' > /usr/local/bin/hr-gateway && chmod 755 /usr/local/bin/hr-gateway
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
# A new volume inherits the owner of the folder that it is mounted on first: /data of a service, or below /volumes (prepare-volumes).
RUN mkdir -p /data /volumes/gateway /volumes/local-kinesis /volumes/forwarder /volumes/ble-bridge /volumes/admin-api && \
  chown 1000:1000 /data /volumes/*
USER 1000:1000
VOLUME /data
CMD ["node", "--v8-pool-size=1", "dist/start.js"]
