# Postgres with pgBackRest (target postgres), and that with our own image on it (target backup): what holds the data of a deployment, and
# what backs it up. `node deploy/images/build.ts` builds both. pgBackRest comes from the packages that the base has its Postgres from.
ARG BASE=postgres:18.1-bookworm
ARG APP=soulfra

FROM ${BASE} AS postgres
# It has to know the major of the base's Postgres, so it is the newest of the same source.
RUN apt-get update \
  && apt-get install -y --no-install-recommends 'pgbackrest=2.*' \
  && rm -rf /var/lib/apt/lists/*

FROM ${APP} AS app

FROM postgres AS backup
ENV NODE_ENV=production
COPY --from=app /usr/local/bin/node /usr/local/bin/node
COPY --from=app /app /app
WORKDIR /app
ENTRYPOINT []
USER 10001:10001
