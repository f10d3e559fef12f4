/** Places a chunk holds: vectors grow chunk by chunk, so that nothing is copied and nothing stands there empty for long. */
const chunkPlaces = 1024;
/** Id, its place in the map, numbers and flags of a memory; measured: 156. */
const bytesBeside = 160;

export interface MemoryRow {
  id: string;
  seq: number;
  rev: number;
  importance: number;
  usedAt: Date;
  living: boolean;
  /** Float32, little-endian, of unit length; null while the model has none for it. */
  vector: Buffer | null;
}

/** The memories of one agent as columns, with their vectors of one model. A place is an index into all of them. */
export class MemoryColumns {
  /** Changes up to this revision are in. */
  rev = 0;
  readonly ids: string[] = [];
  readonly seqs: number[] = [];
  readonly importances: number[] = [];
  readonly usedAtMs: number[] = [];
  readonly living: boolean[] = [];
  readonly known: boolean[] = [];
  private readonly places = new Map<string, number>();
  private chunks: Float32Array[] = [];
  private dimensions = 0;

  get count(): number {
    return this.ids.length;
  }

  /** Bytes of the vectors and, about, of what stands beside them. */
  get bytes(): number {
    return this.chunks.length * chunkPlaces * this.dimensions * 4 + this.count * bytesBeside;
  }

  /** A row new or changed since `rev`. @returns its place */
  take(row: MemoryRow): number {
    let place = this.places.get(row.id);
    if (place === undefined) {
      place = this.count;
      this.places.set(row.id, place);
      this.ids.push(row.id);
      this.known.push(false);
    }
    this.seqs[place] = row.seq;
    this.importances[place] = row.importance;
    this.usedAtMs[place] = row.usedAt.getTime();
    this.living[place] = row.living;
    // What was forgotten must not stay here either.
    if (!row.living && this.known[place]) this.vectorAt(place).fill(0);
    this.known[place] &&= row.living;
    this.rev = row.rev;
    return place;
  }

  placeOf(id: string): number | undefined {
    return this.places.get(id);
  }

  /** @param dimensions of the model; a damaged vector, of another length, is as good as none */
  takeVector(place: number, bytes: Buffer, dimensions: number): void {
    if (bytes.length !== dimensions * 4) return;
    const vector = vectorOf(bytes);
    this.dimensions = dimensions;
    const at = Math.floor(place / chunkPlaces);
    while (this.chunks.length <= at) this.chunks.push(new Float32Array(chunkPlaces * this.dimensions));
    this.vectorAt(place).set(vector);
    this.known[place] = true;
  }

  private vectorAt(place: number): Float32Array {
    const from = (place % chunkPlaces) * this.dimensions;
    return this.chunks[Math.floor(place / chunkPlaces)]!.subarray(from, from + this.dimensions);
  }

  /** The vectors do not fit into memory: what is known of the memories beside them stays. */
  dropVectors(): void {
    this.chunks = [];
    this.known.fill(false);
  }

  livingPlaces(): number[] {
    const places: number[] = [];
    for (let place = 0; place < this.count; place += 1) if (this.living[place]) places.push(place);
    return places;
  }

  /** Living memories that wait for their vector. */
  waiting(): string[] {
    return this.livingPlaces().flatMap((place) => (this.known[place] ? [] : [this.ids[place]!]));
  }

  /** Cosine of each place with the query, both of unit length; NaN where there is no vector. */
  cosines(query: Float32Array): Float64Array {
    if (this.dimensions > 0 && query.length !== this.dimensions) {
      throw new RangeError(`a query of ${query.length} numbers for vectors of ${this.dimensions}`);
    }
    const result = new Float64Array(this.count).fill(Number.NaN);
    for (const [i, chunk] of this.chunks.entries()) {
      const from = i * chunkPlaces;
      const to = Math.min(this.count, from + chunkPlaces);
      for (let place = from; place < to; place += 1) {
        if (this.known[place]) result[place] = dot(chunk, (place - from) * this.dimensions, query);
      }
    }
    return result;
  }
}

/** @throws RangeError where the bytes are no whole number of floats */
export function vectorOf(bytes: Buffer): Float32Array {
  if (bytes.length % 4 !== 0) throw new RangeError(`${bytes.length} bytes are no vector of float32`);
  // Buffers of the driver begin anywhere in their memory, a Float32Array only at a multiple of four.
  if (bytes.byteOffset % 4 !== 0) return vectorOf(Buffer.from(new Uint8Array(bytes).buffer));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** @throws RangeError where the bytes are no vector of unit length of so many numbers: what was stored is damaged */
export function soundVector(bytes: Buffer, dimensions: number): Float32Array {
  const vector = vectorOf(bytes);
  if (vector.length !== dimensions) {
    throw new RangeError(`its vector has ${vector.length} numbers, those of its model ${dimensions}`);
  }
  const squares = dot(vector, 0, vector);
  if (!(Math.abs(squares - 1) < 0.01)) throw new RangeError(`its vector has the length ${Math.sqrt(squares)}, not 1`);
  return vector;
}

/** Four sums at once, in double precision: the processor need not wait for each addition. */
export function dot(vectors: Float32Array, from: number, query: Float32Array): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = query.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const at = from + i;
    a += vectors[at]! * query[i]!;
    b += vectors[at + 1]! * query[i + 1]!;
    c += vectors[at + 2]! * query[i + 2]!;
    d += vectors[at + 3]! * query[i + 3]!;
  }
  for (let i = whole; i < query.length; i += 1) a += vectors[from + i]! * query[i]!;
  return a + b + (c + d);
}
