import { writeFile } from 'node:fs/promises';
import { createRandom } from '../../domain/random.ts';

/**
 * Writes a llama-architecture GGUF (version 3) with random weights and a vocabulary of bytes and printable characters: it says
 * nothing, but a real llama.cpp server loads it, streams it, counts it and binds it to a grammar as it would any model.
 */
export async function writeTinyGguf(path: string, seed = 1): Promise<void> {
  const shape = { embedding: 128, layers: 4, heads: 4, kvHeads: 2, feedForward: 256, context: 16_384 };
  const vocabulary = makeVocabulary();
  const kvSize = (shape.embedding / shape.heads) * shape.kvHeads;
  const tensors: Array<{ name: string; dims: number[]; fill: Fill }> = [
    { name: 'token_embd.weight', dims: [shape.embedding, vocabulary.length], fill: 'random' },
    { name: 'output_norm.weight', dims: [shape.embedding], fill: 'one' },
    { name: 'output.weight', dims: [shape.embedding, vocabulary.length], fill: 'output' },
  ];
  for (let layer = 0; layer < shape.layers; layer += 1) {
    const add = (name: string, dims: number[], fill: Fill = 'random') =>
      tensors.push({ name: `blk.${layer}.${name}.weight`, dims, fill });
    add('attn_norm', [shape.embedding], 'one');
    add('attn_q', [shape.embedding, shape.embedding]);
    add('attn_k', [shape.embedding, kvSize]);
    add('attn_v', [shape.embedding, kvSize]);
    add('attn_output', [shape.embedding, shape.embedding]);
    add('ffn_norm', [shape.embedding], 'one');
    add('ffn_gate', [shape.embedding, shape.feedForward]);
    add('ffn_up', [shape.embedding, shape.feedForward]);
    add('ffn_down', [shape.feedForward, shape.embedding]);
  }
  const keys: Array<[string, Buffer]> = [
    ['general.architecture', text('llama')],
    ['general.name', text('tiny random')],
    ['llama.context_length', uint32(shape.context)],
    ['llama.embedding_length', uint32(shape.embedding)],
    ['llama.block_count', uint32(shape.layers)],
    ['llama.feed_forward_length', uint32(shape.feedForward)],
    ['llama.attention.head_count', uint32(shape.heads)],
    ['llama.attention.head_count_kv', uint32(shape.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', float32(1e-5)],
    ['llama.vocab_size', uint32(vocabulary.length)],
    ['tokenizer.ggml.model', text('llama')],
    [
      'tokenizer.ggml.tokens',
      array(
        8,
        vocabulary.map((token) => rawText(token.text)),
      ),
    ],
    [
      'tokenizer.ggml.scores',
      array(
        6,
        vocabulary.map((_, i) => rawFloat(-i)),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      array(
        5,
        vocabulary.map((token) => rawInt(token.type)),
      ),
    ],
    ['tokenizer.ggml.unknown_token_id', uint32(0)],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    [
      'tokenizer.chat_template',
      text("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}assistant: "),
    ],
  ];

  const random = createRandom(seed);
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, dims, fill } of tensors) {
    const count = dims.reduce((product, dim) => product * dim, 1);
    const scale = 1 / Math.sqrt(dims[0]!);
    const values = Float32Array.from({ length: count }, (_, i) => {
      if (fill === 'one') return 1;
      // Bytes get no weight beside strongly weighted characters: raw ones would not be UTF-8, which the server refuses to send.
      const token = fill === 'output' ? vocabulary[Math.floor(i / shape.embedding)] : undefined;
      if (token !== undefined && token.type !== normalToken && token.text !== '</s>') return 0;
      return (random.next() * 2 - 1) * scale * (fill === 'output' ? 5 : 1);
    });
    infos.push(rawText(name), rawInt(dims.length), ...dims.map(rawLong), rawInt(0), rawLong(offset));
    data.push(padded(Buffer.from(values.buffer)));
    offset += data.at(-1)!.length;
  }
  const head = Buffer.concat([
    Buffer.from('GGUF'),
    rawInt(3),
    rawLong(tensors.length),
    rawLong(keys.length),
    ...keys.flatMap(([key, value]) => [rawText(key), value]),
    ...infos,
  ]);
  await writeFile(path, Buffer.concat([padded(head), ...data]));
}

type Fill = 'random' | 'one' | 'output';

const normalToken = 1;

interface Token {
  text: string;
  /** GGUF's token types: 1 normal, 2 unknown, 3 control, 6 byte. */
  type: number;
}

function makeVocabulary(): Token[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i));
  return [
    { text: '<unk>', type: 2 },
    { text: '<s>', type: 3 },
    { text: '</s>', type: 3 },
    ...bytes.map((byte) => ({ text: byte, type: 6 })),
    // SentencePiece's sign for a space.
    ...['\u2581', ...printable].map((character) => ({ text: character, type: normalToken })),
  ];
}

const alignment = 32;

function padded(bytes: Buffer): Buffer {
  const missing = (alignment - (bytes.length % alignment)) % alignment;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}

function rawInt(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function rawLong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function rawFloat(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function rawText(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([rawLong(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  return Buffer.concat([rawInt(4), rawInt(value)]);
}

function float32(value: number): Buffer {
  return Buffer.concat([rawInt(6), rawFloat(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([rawInt(8), rawText(value)]);
}

function array(type: number, items: readonly Buffer[]): Buffer {
  return Buffer.concat([rawInt(9), rawInt(type), rawLong(items.length), ...items]);
}
