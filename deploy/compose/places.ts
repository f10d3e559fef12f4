/** Where a server finds its files and the others: inside a container, or on a host without Docker. The texts are the same. */
export interface Places {
  config(file: string): string;
  tls(file: string): string;
  secret(file: string): string;
  /** Files that are made once and then their owner's. */
  own(file: string): string;
  data(part: string): string;
  /** Of Postgres: what its folder lies in, what that folder is called there, and where its socket is. */
  postgres: { data: string; cluster: string; socket: string };
  /** Where a folder of the host's owner is found. */
  second(folder: string): string;
  /** Host by which one part reaches another on the coordinating machine. */
  host(part: string): string;
  /** What servers that other machines dial listen at. */
  listen: readonly string[];
  /** What all others listen at. */
  inner: string;
}

const inContainer: Places = {
  config: (file) => `/etc/soulfra/${file}`,
  tls: (file) => `/etc/soulfra/tls/${file}`,
  secret: (file) => `/run/secrets/${file}`,
  own: (file) => `/etc/soulfra/${file}`,
  data: (part) => `/var/lib/${part}`,
  postgres: { data: '/var/lib/postgresql', cluster: 'data', socket: '/var/run/postgresql' },
  second: () => '/var/lib/second',
  // Our certificates are for these names; compose gives them to the containers as further names.
  host: (part) => (['postgres', 'redis', 'temporal'].includes(part) ? `${part}.soulfra` : part),
  listen: ['0.0.0.0'],
  inner: '0.0.0.0',
};

export function containerPlaces(): Places {
  return inContainer;
}

/** @param folder the folder of the kit, absolute */
export function hostPlaces(folder: string, address: string): Places {
  return {
    config: (file) => `${folder}/config/${file}`,
    tls: (file) => `${folder}/tls/${file}`,
    secret: (file) => `${folder}/secrets/${file}`,
    own: (file) => `${folder}/own/${file}`,
    data: (part) => `${folder}/data/${part}`,
    postgres: { data: `${folder}/data/postgres`, cluster: 'main', socket: `${folder}/data/run` },
    second: (at) => at,
    host: () => '127.0.0.1',
    listen: [...new Set(['127.0.0.1', address])],
    inner: '127.0.0.1',
  };
}
